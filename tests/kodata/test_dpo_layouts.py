"""kodata dpo over every layout it reads: policies, scorers, balance, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.chat import read_pairs
from kodata.chat.answers import Answer, Ranked, pairs_of
from kodata.chat.balance import balanced, length_bias
from kodata.chat.dpo import DpoConfig, dpo
from kodata.chat.generations import chrf, same_end
from kodata.chat.records import Message, RecordError
from kodata.run.errors import UsageError, UserError
from tests import chat_layouts as made
from tests.chat_layouts import BAD, A, Q


def told(path) -> list[tuple[str, str, str]]:
    return [(p.prompt[-1].content, p.chosen[0].content, p.rejected[0].content) for p in read_pairs(path)]


@pytest.mark.parametrize("name", made.DPO)
def test_every_layout_becomes_pairs(tmp_path, name):
    suffix, content, expected = made.DPO[name]
    result = dpo([made.write(tmp_path, name, suffix, content)], output=tmp_path / "pairs.jsonl")
    found = told(tmp_path / "pairs.jsonl")
    assert len(found) == len(expected)
    for (question, *answers), (asked, *given_answers) in zip(found, expected, strict=True):
        assert asked in question and answers == given_answers
    assert result.summary["read"] == result.summary["kept"] + sum(result.summary["dropped"].values())
    assert result.summary["dropped"] == {}


def ranked(*scores: float) -> Ranked:
    return Ranked("r", [Message("user", Q)], [Answer(f"답 {i}", s) for i, s in enumerate(scores)], "score")


def chosen(policy: str, *scores: float, margin: float = 1.0) -> list[tuple[float, float]]:
    return [tuple(p.meta["scores"]) for p in pairs_of(ranked(*scores), policy, margin)]


def test_policies():
    assert chosen("best-worst", 2, 5, 1) == [(5, 1)]
    assert chosen("adjacent", 2, 5, 1, 1) == [(5, 2), (2, 1)]
    assert chosen("margin", 2, 5, 1, margin=3) == [(5, 2), (5, 1)]
    for policy, scores, reason in (
        ("best-worst", (3, 3), "tie"),
        ("margin", (3, 2.5), "tie"),
        ("adjacent", (3,), "one_answer"),
    ):
        with pytest.raises(RecordError) as error:
            pairs_of(ranked(*scores), policy, 1.0)
        assert error.value.reason == reason


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=6), st.sampled_from(["best-worst", "adjacent", "margin"])
)
def test_chosen_always_has_the_higher_score(scores, policy):
    try:
        found = chosen(policy, *scores, margin=2)
    except RecordError:
        return
    assert all(good > bad for good, bad in found)
    if policy == "margin":
        assert all(good - bad >= 2 for good, bad in found)
        assert len(found) == sum(a - b >= 2 for a in scores for b in scores)


def test_policies_by_flag(tmp_path):
    suffix, content, _ = made.DPO["aihub_71748_rm"]
    path = made.write(tmp_path, "rm", suffix, content)
    dpo([path], output=tmp_path / "a.jsonl", config=DpoConfig(pairs="adjacent"))
    assert [p.meta["scores"] for p in read_pairs(tmp_path / "a.jsonl")] == [
        [-1, -2],
        [-2, -3],
        [-3, -4],
        [-4, -5],
    ]
    dpo([path], output=tmp_path / "m.jsonl", config=DpoConfig(pairs="margin", margin=3))
    pairs = list(read_pairs(tmp_path / "m.jsonl"))
    assert [p.meta["scores"] for p in pairs] == [[-1, -4], [-1, -5], [-2, -5]]
    assert len({p.id for p in pairs}) == 3 and len({p.meta.get("cluster", p.id) for p in pairs}) == 1
    assert pairs[0].source == "한국어 성능이 개선된 초거대AI (RM)" and pairs[0].meta["scored_by"] == "rank"


def test_rated_bot_turns_need_another_answer_to_the_same_words(tmp_path):
    other = json.loads(json.dumps(made.RATED_DIALOGUE))
    conversation = other["dataset"]["conversations"][0]
    conversation["metadata"]["conversation_id"] = "c2"
    conversation["utterances"] = conversation["utterances"][:2]
    conversation["utterances"][1] = {
        "speaker_id": "B", "utterance_text": BAD,
        "utterance_evaluation": [{"linguistic_acceptability": "yes", "no_hallucination": "no"}],
    }  # fmt: skip
    paths = [made.write(tmp_path, n, ".json", c) for n, c in (("a", made.RATED_DIALOGUE), ("b", other))]
    result = dpo(paths, output=tmp_path / "pairs.jsonl")
    assert told(tmp_path / "pairs.jsonl") == [(Q, A, BAD)]
    assert result.summary["dropped"]["one_answer"] == 2


WRONG = {
    "lengths": ({"prompt": Q, "responses": [A, BAD], "scores": [1]}, "lengths differ", "scores"),
    "no_number": ({"prompt": Q, "responses": [A, BAD], "scores": [1, "많이"]}, "not a number", "scores[1]"),
    "nan": ({"prompt": Q, "responses": [A, BAD], "scores": [1, float("nan")]}, "not a number", "scores[1]"),
    "no_vote": ({"prompt": Q, "response_a": A, "response_b": BAD}, "missing key", "winner"),
    "odd_vote": ({"prompt": Q, "response_a": A, "response_b": BAD, "winner": "둘 다"}, "unknown", "winner"),
    "no_prompt": ({"responses": [A, BAD], "scores": [2, 1]}, "missing key", "prompt"),
    "no_score": (
        {"prompt": Q, "answers": [{"text": A, "rank": 1}, {"text": BAD}]},
        "no score or rank",
        "answers[1]",
    ),
    "no_text": ({"prompt": Q, "answers": [{"rank": 1}, {"text": BAD, "rank": 2}]}, "no text", "answers[0]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_records_name_the_key_and_lose_nothing_else(tmp_path, name):
    record, why, key = WRONG[name]
    path = made.write(
        tmp_path, "p", ".jsonl", [{"prompt": "가?", "chosen": "좋다", "rejected": "나쁘다"}, record]
    )
    result = dpo([path], output=tmp_path / "pairs.jsonl")
    (one,) = [
        json.loads(x)
        for x in (tmp_path / "pairs.run" / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert (
        result.summary["kept"] == 1
        and one["line"] == 2
        and one["drop"]["key"] == key
        and why in one["drop"]["value"]
    )
    with pytest.raises(UserError) as error:
        dpo([made.write(tmp_path, "q", ".jsonl", [record])], output=tmp_path / "none.jsonl")
    assert "{" in error.value.help and "q.jsonl:1" in str(error.value)


def test_the_same_answer_in_both_and_repeated_prompts(tmp_path):
    asked = "강의 이름을 말해 주세요."
    rows = [
        {"prompt": "가?", "chosen": "서울입니다.", "rejected": "서울 입니다!"},
        {"prompt": asked, "chosen": f"{asked} 압록강입니다.", "rejected": "모릅니다."},
        {
            "prompt": [{"role": "user", "content": Q}],
            "chosen": made.ONE,
            "rejected": [made.ONE[0], made.msg("assistant", BAD)],
        },
    ]
    result = dpo([made.write(tmp_path, "p", ".jsonl", rows)], output=tmp_path / "pairs.jsonl")
    assert result.summary["dropped"] == {"same_answer": 1} and result.summary["notes"] == {
        "prompt_in_chosen": 1
    }
    assert told(tmp_path / "pairs.jsonl")[1] == (Q, A, BAD)


# --- generations ----------------------------------------------------------------------------------


def generated(tmp_path, answers: list[str], real: str = "모두 8개입니다.") -> tuple[str, str]:
    chat = made.write(
        tmp_path, "chat", ".jsonl", [{"id": "c", "prompt": "모두 몇 개인가요?", "response": real}]
    )
    made.write(tmp_path, "gen", ".jsonl", [{"id": "c", "response": a, "model": "m"} for a in answers])
    return chat, tmp_path / "gen.jsonl"


def test_generations_with_a_scorer(tmp_path):
    chat, gen = generated(tmp_path, ["3 + 5 = 8", "답은 7개", "9개쯤"])
    result = dpo(
        [chat], output=tmp_path / "a.jsonl", config=DpoConfig(rejected=gen, scorer="answer", pairs="margin")
    )
    pairs = list(read_pairs(tmp_path / "a.jsonl"))
    assert [p.rejected[0].content for p in pairs] == ["답은 7개", "9개쯤"] and result.summary["dropped"] == {
        "too_good": 1
    }
    assert pairs[0].meta["scores"] == [1.0, 0.0] and pairs[0].meta["scored_by"] == "answer"
    chat, gen = generated(tmp_path, ["모두 8개입니다!", "모두 여덟 개입니다.", "나는 모른다"])
    dpo([chat], output=tmp_path / "b.jsonl", config=DpoConfig(rejected=gen, scorer="chrf"))
    assert told(tmp_path / "b.jsonl")[0][2] == "나는 모른다"
    dpo(
        [chat],
        output=tmp_path / "c.jsonl",
        config=DpoConfig(rejected=gen, scorer="chrf", pairs="adjacent", max_score=0.8),
    )
    assert told(tmp_path / "c.jsonl")[0][2] == "모두 여덟 개입니다."
    with pytest.raises(UsageError, match="--rejected"):
        DpoConfig(scorer="chrf")


def test_scorers():
    assert (
        chrf("같은 글", "같은 글") == 1.0
        and chrf("전혀 다름", "봄 바람") == 0.0
        and 0 < chrf("같은 말", "같은 글") < 1
    )
    assert chrf("", "글") == 0.0
    assert (
        same_end("그래서 1,234.0원", "1234원") == 1.0
        and same_end("모름", "8개") == 0.0
        and same_end("8개가 아니라 9", "8") == 0.0
    )
    assert same_end("음…\n서울.", "서울") == 1.0


# --- lengths --------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40), st.integers(1, 40)), max_size=60),
    st.integers(0, 3),
)
def test_balanced_lengths(lengths, seed):
    gone = balanced(lengths, seed)
    left = [x for i, x in enumerate(lengths) if i not in gone]
    assert sum(c > r for _, c, r in left) == sum(c < r for _, c, r in left)
    assert all(lengths[i][1] != lengths[i][2] for i in gone) and gone == balanced(lengths, seed)
    bias = length_bias(left)
    assert bias["chosen_longer"] == bias["chosen_shorter"]


def test_balance_by_flag(tmp_path):
    rows = [
        {"prompt": f"{i}번 물음입니다?", "chosen": f"길고 자세한 {i}번 답입니다.", "rejected": f"짧다 {i}"}
        for i in range(30)
    ]
    rows += [
        {"prompt": f"{i}번 물음이다?", "chosen": f"짧다 {i}", "rejected": f"길고 자세한 {i}번 답입니다."}
        for i in range(30, 40)
    ]
    path = made.write(tmp_path, "p", ".jsonl", rows)
    plain = dpo([path], output=tmp_path / "a.jsonl")
    assert plain.summary["chosen_longer"] == 0.75 and any("--balance-length" in line for line in plain.lines)
    even = dpo([path], output=tmp_path / "b.jsonl", config=DpoConfig(balance_length=True))
    assert even.summary["kept"] == 20 and even.summary["dropped"] == {"length_balance": 20}
    assert even.summary["chosen_longer"] == even.summary["chosen_shorter"] == 0.5


def test_real_ratings_agree_with_their_labels(real_data, tmp_path):
    """SQuARe: chosen is always an answer that people accepted, and its rejected one always not."""
    import gzip

    path = real_data / "preference" / "square_response_test_ood.json.gz"
    labels = {
        (r["question"].strip(), r["response"].strip()): r["acceptable?"]
        for r in json.loads(gzip.decompress(path.read_bytes()))
    }
    dpo([str(path)], output=tmp_path / "pairs.jsonl", config=DpoConfig(normalise=False))
    found = told(tmp_path / "pairs.jsonl")
    assert len(found) > 90
    assert all(labels[q.strip(), c.strip()] == 1 and labels[q.strip(), r.strip()] == 0 for q, c, r in found)


def test_numbers_no_score_can_be_are_dropped_with_their_row(tmp_path):
    rows = [
        '{"prompt": "수도는?", "responses": ["서울입니다.", "부산입니다."], "scores": [1%s, 2]}'
        % ("0" * 400),
        '{"prompt": "꽃은?", "responses": ["장미입니다.", "나무입니다."], "scores": [2, 1]}',
        '{"message_tree_id": "t", "prompt": {"text": "강은?", "role": "prompter", "replies": ['
        '{"text": "낙동강", "role": "assistant", "rank": NaN}, {"text": "한강", "role": "assistant", "rank": 0}, '
        '{"text": "태백산", "role": "assistant", "rank": 1%s}, {"text": "바다", "role": "assistant", "rank": 1}]}}'
        % ("0" * 400),
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(rows), encoding="utf-8")
    result = dpo([str(source)], output=tmp_path / "pairs.jsonl")
    assert told(tmp_path / "pairs.jsonl") == [
        ("꽃은?", "장미입니다.", "나무입니다."), ("강은?", "한강", "바다"),
    ]  # fmt: skip
    assert result.summary["dropped"] == {"broken": 1}


def test_a_hyphen_between_numbers_is_no_sign():
    assert same_end("1월 15일, 곧 2024-01-15", "답은 15") == 1
    assert same_end("답: -15", "답: 15") == 0
