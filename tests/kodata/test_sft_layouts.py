"""kodata sft over every layout it reads, and what it refuses in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.chat import read_chats
from kodata.chat.records import RecordError
from kodata.chat.sft import SftConfig, sft
from kodata.chat.tasks import UNANSWERABLE, WORDINGS, Task, into_language, messages_of, turn_roles, worded
from kodata.run.errors import UserError
from tests import chat_layouts as made


def dropped(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", made.SFT)
def test_every_layout_becomes_chats(tmp_path, name):
    suffix, content, expected = made.SFT[name]
    result = sft(
        [made.write(tmp_path, name, suffix, content)],
        output=tmp_path / "chat.jsonl",
        config=SftConfig(near=0),
    )
    chats = list(read_chats(tmp_path / "chat.jsonl"))
    found = [(c.prompt[-1].content, c.answer) for c in chats]
    for question, answer in expected:
        hit = next(
            (
                f
                for f in found
                if question in f[0] and (f[1] == answer or (not answer and f[1] in UNANSWERABLE))
            ),
            None,
        )
        assert hit is not None, (question, answer, found)
    # The extractive summary beside the abstractive one; the dialogue itself beside its summary.
    extra = {"aihub_document_summary": 1, "aihub_dialogue_summary": 1}.get(name, 0)
    assert len(found) == len(expected) + extra
    assert result.summary["read"] == result.summary["kept"] + sum(result.summary["dropped"].values())
    assert result.summary["dropped"] == {} and len({c.id for c in chats}) == len(chats)


def test_a_hub_dataset_is_read_by_its_name(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"instruction": f"질문 {i}은 무엇인가요?", "output": f"답 {i}입니다."} for i in range(5)]
    datasets.Dataset.from_list(rows).to_parquet(folder / "train.parquet")
    result = sft([f"hf:{folder}"], output=tmp_path / "chat.jsonl")
    assert result.summary["kept"] == 5 and result.summary["sources"] == {"set": 5}
    with pytest.raises(UserError, match="cannot open dataset"):
        sft([f"hf:{tmp_path / '없음'}"], output=tmp_path / "other.jsonl")


def test_shared_stretches_of_a_tree_are_learned_once(tmp_path):
    suffix, content, _ = made.SFT["oasst_tree"]
    sft(
        [made.write(tmp_path, "t", suffix, content)], output=tmp_path / "chat.jsonl", config=SftConfig(near=0)
    )
    first, second = read_chats(tmp_path / "chat.jsonl")
    assert [m.train for m in first.messages] == [True] * 4
    assert [(m.content, m.train) for m in second.messages if m.role == "assistant"] == [
        (made.A, False), ("두만강이 있습니다.", True),
    ]  # fmt: skip


def test_of_rated_answers_only_the_good_are_learned(tmp_path):
    path = made.write(tmp_path, "rated", ".json", made.RATED_DIALOGUE)
    result = sft([path], output=tmp_path / "chat.jsonl", config=SftConfig(near=0))
    chats = list(read_chats(tmp_path / "chat.jsonl"))
    assert [c.answer for c in chats] == [made.A, "다시 확인해 보겠습니다."]
    assert [(m.role, m.train) for m in chats[1].messages if m.role == "assistant"] == [
        ("assistant", False), ("assistant", False), ("assistant", True),
    ]  # fmt: skip
    assert result.summary["dropped"] == {"other_task": 1, "rated_bad": 1}


def test_a_question_whose_answer_is_missing_is_named(tmp_path):
    suffix, content, _ = made.SFT["aihub_health"]
    path = made.write(tmp_path, "q", suffix, [*content, {**content[0], "intention": "치료"}])
    result = sft([path], output=tmp_path / "chat.jsonl")
    assert result.summary["kept"] == 1 and result.summary["dropped"] == {"other_task": 1}
    (one,) = dropped(tmp_path / "chat.run" / "dropped.jsonl")
    assert "other half" in one["drop"]["value"] and one["record"]["text"] == content[0]["question"]


def test_questions_and_answers_may_stand_in_different_files(tmp_path):
    suffix, (question, answer), _ = made.SFT["aihub_health"]
    (tmp_path / "in").mkdir()
    made.write(tmp_path / "in", "질문", suffix, [question])
    made.write(tmp_path / "in", "답변", suffix, [answer])
    sft([str(tmp_path / "in")], output=tmp_path / "chat.jsonl")
    assert next(read_chats(tmp_path / "chat.jsonl")).messages[0].content == question["question"]


def test_wrong_questions_inside_an_article_lose_nothing_else(tmp_path):
    suffix, content, _ = made.SFT["korquad"]
    wrong = json.loads(json.dumps(content))
    wrong["data"][0]["paragraphs"][0]["qas"].insert(1, {"id": "x", "answers": [{"text": "답"}]})
    wrong["data"][0]["paragraphs"].append({"qas": []})
    result = sft([made.write(tmp_path, "k", suffix, wrong)], output=tmp_path / "chat.jsonl")
    assert result.summary["kept"] == 2 and result.summary["dropped"] == {"broken": 2}
    keys = [d["drop"]["key"] for d in dropped(tmp_path / "chat.run" / "dropped.jsonl")]
    assert keys == ["paragraphs[0].qas[1].question", "paragraphs[1].context"]


# --- choosing -------------------------------------------------------------------------------------


def rows(tmp_path, *pairs) -> str:
    return made.write(tmp_path, "rows", ".jsonl", [{"prompt": q, "response": a} for q, a in pairs])


LONG = (
    "강가의 마을에는 오래된 나루터가 있어서 장날이면 건너편 사람들이 배를 타고 건너와 곡식과 소금을 바꾸어 갔다. "
    * 3
)


def test_nearly_equal_prompts_and_what_is_not_one(tmp_path):
    path = rows(
        tmp_path,
        ("우리 동네 도서관은 평일에 몇 시까지 문을 여는지 알려 주세요.", "아홉 시까지 엽니다."),
        ("우리 동네 도서관은 평일에 몇 시까지 문을 여는지 알려 주세요!", "밤 아홉 시까지예요."),
        ("철수가 사과를 3개, 영희가 사과를 5개 가지고 있습니다. 모두 몇 개인가요?", "8개입니다."),
        ("철수가 사과를 3개, 영희가 사과를 6개 가지고 있습니다. 모두 몇 개인가요?", "9개입니다."),
        (f"{LONG}\n\n사람들은 무엇을 타고 왔나요?", "배를 탔습니다."),
        (f"{LONG}\n\n곡식과 바꾼 것은 무엇인가요?", "소금입니다."),
    )
    result = sft([path], output=tmp_path / "chat.jsonl")
    assert result.summary["dropped"] == {"near_prompt": 1} and result.summary["kept"] == 5
    (one,) = dropped(tmp_path / "chat.run" / "dropped.jsonl")
    assert one["line"] == 2 and one["record"]["messages"][1]["content"] == "밤 아홉 시까지예요."
    both = sft([path], output=tmp_path / "all.jsonl", config=SftConfig(per_prompt=0))
    first, second, *_ = read_chats(tmp_path / "all.jsonl")
    assert both.summary["kept"] == 6 and second.meta == {"cluster": first.id}
    exact = sft([path], output=tmp_path / "exact.jsonl", config=SftConfig(near=0))
    assert exact.summary["kept"] == 6


def test_evaluation_data_is_kept_out(tmp_path):
    path = rows(
        tmp_path, ("강의 길이를 알려 주세요.", LONG[:60]), ("나루터는 무엇인가요?", "배가 닿는 곳입니다.")
    )
    (tmp_path / "eval.jsonl").write_text(
        json.dumps({"context": LONG[:60]}, ensure_ascii=False), encoding="utf-8"
    )
    result = sft([path], output=tmp_path / "chat.jsonl", against=[tmp_path / "eval.jsonl"])
    assert result.summary["dropped"] == {"against": 1}
    (one,) = dropped(tmp_path / "chat.run" / "dropped.jsonl")
    assert one["drop"]["key"] == "eval.jsonl:1:context" and one["drop"]["value"] == 1.0


def test_length_language_and_rules(tmp_path):
    path = rows(
        tmp_path,
        ("무엇인가요?", "강"),
        ("What is the longest river?", "It is the Amnok river, they say."),
        ("되풀이해 주세요.", "같은 줄이 되풀이되는 답입니다.\n" * 30),
        ("깨진 글은요?", "글자\ufffd\ufffd\ufffd\ufffd가 깨졌습니다"),
        ("강은 어디에 있나요?", "북쪽에 있습니다."),
    )
    config = SftConfig(min_answer_chars=3, min_hangul=0.3)
    result = sft([path], output=tmp_path / "chat.jsonl", config=config)
    assert (
        result.summary["dropped"] == {"not_korean": 1, "rules": 2, "too_short": 1}
        and result.summary["kept"] == 1
    )
    reasons = [
        d["drop"].get("key")
        for d in dropped(tmp_path / "chat.run" / "dropped.jsonl")
        if d["drop"]["reason"] == "rules"
    ]
    assert reasons == ["repeated_lines", "lost_text"]
    assert sft([path], output=tmp_path / "raw.jsonl", config=SftConfig(rules=False)).summary["kept"] == 5


def test_the_report_tells_tasks_verbs_and_quality(tmp_path):
    pairs = [
        (
            f"{i}번째 이야기를 {'요약해 주세요' if i % 2 else '영어로 번역해 주세요'}. {i * 7} 쪽입니다.",
            f"답 {i}입니다.",
        )
        for i in range(120)
    ]
    result = sft([rows(tmp_path, *pairs)], output=tmp_path / "chat.jsonl")
    assert result.summary["tasks"] == {"번역 (translation)": 60, "요약 (summary)": 60}
    verbs = next(b for b in result.report if "verbs" in b["title"])
    assert {row[0] for row in verbs["rows"]} == {"요약하다", "번역하다"} and "이야기" in verbs["rows"][0][1]


def test_the_same_command_gives_the_same_bytes(tmp_path):
    suffix, content, _ = made.SFT["korquad"]
    path = made.write(tmp_path, "k", suffix, content)
    outputs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 5)):
        sft([path], output=tmp_path / f"{name}.jsonl", seed=seed)
        outputs.append((tmp_path / f"{name}.jsonl").read_bytes())
    assert outputs[0] == outputs[1] != outputs[2]


# --- tasks ----------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(WORDINGS)), st.text(max_size=20), st.integers(0, 5), st.text(max_size=30))
def test_wordings_hold_their_fields_and_depend_on_seed_and_id_only(kind, id, seed, value):
    fields = dict.fromkeys(
        (
            "text",
            "context",
            "question",
            "source",
            "into",
            "from_language",
            "labels",
            "name",
            "situation",
            "persona",
        ),
        value,
    )
    prompt = worded(kind, id, seed, fields)
    assert prompt == worded(kind, id, seed, fields) and value in prompt


def test_every_wording_is_used():
    for kind, wordings in WORDINGS.items():
        fields = dict.fromkeys(
            (
                "text",
                "context",
                "question",
                "source",
                "into",
                "from_language",
                "labels",
                "name",
                "situation",
                "persona",
            ),
            "값",
        )
        assert len({worded(kind, str(i), 0, fields) for i in range(200)}) == len(wordings)


@pytest.mark.parametrize(
    ("code", "into"),
    [
        ("en", "영어로"),
        ("ko", "한국어로"),
        ("en-US", "영어로"),
        ("말", "말로"),
        ("산스크리트말씀", "산스크리트말씀으로"),
    ],
)
def test_languages_and_their_particle(code, into):
    assert into_language(code) == into


def test_turns_without_roles():
    turns = [
        {"speaker": s, "text": t}
        for s, t in (("갑", "안녕"), ("갑", "뭐 해?"), ("을", "책 읽어"), ("갑", "그래"))
    ]
    assert [(m.role, m.content) for m in turn_roles(turns)] == [
        ("user", "안녕\n뭐 해?"),
        ("assistant", "책 읽어"),
        ("user", "그래"),
    ]
    with pytest.raises(RecordError, match="two speakers"):
        turn_roles([*turns, {"speaker": "병", "text": "나도"}])
    led = [
        {"speaker": "봇", "text": "어서 오세요", "role": "assistant"},
        {"speaker": "손", "text": "네", "role": "user"},
    ]
    assert [m.content for m in turn_roles(led)] == ["네"]


def test_braces_in_a_text_stay_text():
    chat = messages_of(Task("summary", "1", {"text": "집합 {text}와 {summary}", "summary": "답"}), 0)
    assert "집합 {text}와 {summary}" in chat[0].content
