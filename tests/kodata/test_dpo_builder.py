"""kodata dpo: preference files, and real answers against generated ones."""

import json
import unicodedata

import pytest

from kodata.chat import read_pairs
from kodata.chat.dpo import DpoConfig, dpo
from kodata.chat.sft import SftConfig, sft
from kodata.pii import PiiConfig
from kodata.run.errors import UserError
from kotok.holdout import holdout_key


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path, *records) -> str:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return str(path)


def pair(prompt, chosen, rejected, **more) -> dict:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def test_preference_files_with_reasons_for_what_is_dropped(tmp_path):
    source = write(
        tmp_path / "선호.jsonl",
        pair("가?", "좋다", "나쁘다", score=3),
        {"prompt": "나?", "chosen_response": "좋다", "rejected_response": "나쁘다"},
        pair("다?", "같다", " 같다\n"),
        pair("라?", "좋다", ""),
        pair("마?", "", "나쁘다"),
        pair("", "좋다", "나쁘다"),
        pair("가?", "좋다", "나쁘다"),
        {"prompt": "바?", "chosen": "좋다"},
        pair("사?", "글" * 300, "나쁘다"),
    )
    result = dpo([source], output=tmp_path / "pairs.jsonl", config=DpoConfig(max_chars=200))
    pairs = list(read_pairs(tmp_path / "pairs.jsonl"))
    assert [p.prompt[0].content for p in pairs] == ["가?", "나?"] and pairs[0].meta == {"score": 3}
    dropped = lines(tmp_path / "pairs.run" / "dropped.jsonl")
    assert [(d["line"], d["drop"]["reason"]) for d in dropped] == [
        (3, "identical"), (4, "empty_rejected"), (5, "empty_answer"), (6, "empty_prompt"), (7, "duplicate"),
        (8, "broken"), (9, "too_long"),
    ]  # fmt: skip
    summary = result.summary
    assert summary["read"] == summary["kept"] + sum(summary["dropped"].values()) == 9
    assert summary["mean_chosen_chars"] == 2.0 and summary["mean_rejected_chars"] == 3.0
    assert summary["chosen_shorter"] == 1.0


def test_an_empty_rejected_answer_is_kept_on_demand(tmp_path):
    source = write(tmp_path / "p.jsonl", pair("라?", "좋다", ""))
    dpo([source], output=tmp_path / "pairs.jsonl", config=DpoConfig(empty_rejected="keep"))
    assert next(read_pairs(tmp_path / "pairs.jsonl")).rejected[0].content == ""


def _chats(tmp_path):
    source = write(
        tmp_path / "raw.jsonl",
        *({"id": f"c{i}", "prompt": f"질문 {i}?", "response": f"참된 답 {i}."} for i in range(5)),
        {"id": "m", "messages": [{"role": r, "content": c} for r, c in
                                 [("user", "첫"), ("assistant", "하나"), ("user", "둘"), ("assistant", "끝 답")]]},
    )  # fmt: skip
    sft([source], output=tmp_path / "chat.jsonl")
    return str(tmp_path / "chat.jsonl")


def generation(chat, text) -> dict:
    return {"id": chat["id"], "prompt": chat["messages"][:-1], "response": text, "model": "abc"}


def test_generations_become_the_rejected_answers(tmp_path):
    source = _chats(tmp_path)
    chats = lines(tmp_path / "chat.jsonl")
    wrong = generation(chats[3], "다른 질문에 답함")
    wrong["prompt"] = [{"role": "user", "content": "딴 질문"}]
    write(
        tmp_path / "gen.jsonl",
        generation(chats[0], "틀린 답"),
        generation(chats[1], "참된 답 1."),
        generation(chats[2], ""),
        wrong,
        generation(chats[5], "끝에 틀림"),
        generation(chats[5], "또 틀림"),
        {"id": "남", "response": "아무도 안 씀"},
    )
    result = dpo([source], output=tmp_path / "pairs.jsonl", config=DpoConfig(rejected=tmp_path / "gen.jsonl"))
    pairs = list(read_pairs(tmp_path / "pairs.jsonl"))
    assert [(p.chosen[0].content, p.rejected[0].content) for p in pairs] == [
        ("참된 답 0.", "틀린 답"), ("끝 답", "끝에 틀림"), ("끝 답", "또 틀림"),
    ]  # fmt: skip
    assert [m.content for m in pairs[1].prompt] == ["첫", "하나", "둘"]
    assert pairs[0].meta["rejected_by"] == "abc" and len({p.id for p in pairs}) == 3
    summary = result.summary
    assert summary["dropped"] == {
        "empty_rejected": 1,
        "identical": 1,
        "no_generation": 1,
        "prompt_mismatch": 1,
    }
    assert summary["read"] == summary["kept"] + sum(summary["dropped"].values())
    assert summary["unused_generations"] == 1


def test_generated_text_is_not_touched(tmp_path):
    source = _chats(tmp_path)
    raw = unicodedata.normalize("NFD", "가나  틀린\r\n답 ")
    write(tmp_path / "gen.jsonl", generation(lines(tmp_path / "chat.jsonl")[0], raw))
    dpo([source], output=tmp_path / "pairs.jsonl", config=DpoConfig(rejected=tmp_path / "gen.jsonl"))
    assert next(read_pairs(tmp_path / "pairs.jsonl")).rejected[0].content == raw


def test_personal_data_in_a_generation_is_masked_and_nothing_else(tmp_path):
    source = _chats(tmp_path)
    raw = unicodedata.normalize("NFD", "가나  틀린\r\n답 ")
    first = lines(tmp_path / "chat.jsonl")[0]
    write(tmp_path / "gen.jsonl", generation(first, f"010-1234-5678 {raw}"))
    config = DpoConfig(rejected=tmp_path / "gen.jsonl")
    result = dpo([source], output=tmp_path / "pairs.jsonl", config=config)
    assert next(read_pairs(tmp_path / "pairs.jsonl")).rejected[0].content == f"[전화번호] {raw}"
    assert result.summary["pii"] == {"phone": 1}
    config = DpoConfig(rejected=tmp_path / "gen.jsonl", pii=PiiConfig(mode="off"))
    dpo([source], output=tmp_path / "off.jsonl", config=config)
    assert next(read_pairs(tmp_path / "off.jsonl")).rejected[0].content == f"010-1234-5678 {raw}"


def test_pairs_of_one_chat_or_one_prompt_are_held_out_together(tmp_path):
    chats = [
        {"id": "010-1234-5678", "prompt": "가?", "response": "하나"},
        {"id": "q2", "prompt": "가?", "response": "둘"},
        {"id": "q3", "prompt": "나?", "response": "셋", "meta": {"cluster": 7}},
        {"id": "q4", "prompt": "다?", "response": "넷"},
    ]
    source = write(tmp_path / "c.jsonl", *chats)
    write(
        tmp_path / "gen.jsonl", *({"id": c["id"], "response": f"틀림 {i}"} for c in chats for i in range(3))
    )
    dpo([source], output=tmp_path / "pairs.jsonl", config=DpoConfig(rejected=tmp_path / "gen.jsonl"))
    pairs = list(read_pairs(tmp_path / "pairs.jsonl"))
    assert len({p.id for p in pairs}) == 12
    assert [holdout_key(p.id, p.meta) for p in pairs] == ["010-1234-5678"] * 6 + ["7"] * 3 + ["q4"] * 3


def test_preference_pairs_and_chats_of_one_prompt_are_held_out_together(tmp_path):
    source = write(
        tmp_path / "p.jsonl",
        pair("가?", "좋다", "나쁘다", id="a"),
        pair("나?", "좋다", "나쁘다", id="b"),
        pair("가?", "더 좋다", "나쁘다", id="c"),
    )
    dpo([source], output=tmp_path / "pairs.jsonl")
    pairs = list(read_pairs(tmp_path / "pairs.jsonl"))
    assert [(p.id, p.meta) for p in pairs] == [("a", {}), ("b", {}), ("c", {"cluster": "a"})]
    rows = [{"id": i, "prompt": q, "response": a} for i, q, a in ("x가하", "y나하", "z가두")]
    source = write(tmp_path / "c.jsonl", *rows)
    sft([source], output=tmp_path / "chat.jsonl", config=SftConfig(per_prompt=0))
    assert [r["meta"] for r in lines(tmp_path / "chat.jsonl")] == [{}, {}, {"cluster": "x"}]


@pytest.mark.parametrize("scalar", ["null", "3", '"글"', "true"])
@pytest.mark.parametrize("verb", [sft, dpo])
def test_a_json_file_with_a_scalar_is_a_broken_record(tmp_path, verb, scalar):
    (tmp_path / "n.json").write_text(scalar, encoding="utf-8")
    with pytest.raises(UserError, match=r"n\.json:1: .*not a JSON object"):
        verb([str(tmp_path / "n.json")], output=tmp_path / "s.jsonl")


def test_generations_of_other_chats_are_an_error_with_the_command(tmp_path):
    source = _chats(tmp_path)
    write(tmp_path / "gen.jsonl", {"id": "남", "response": "글"})
    with pytest.raises(UserError, match="no id") as error:
        dpo([source], output=tmp_path / "pairs.jsonl", config=DpoConfig(rejected=tmp_path / "gen.jsonl"))
    assert "kobitnet generate" in error.value.help and not (tmp_path / "pairs.jsonl").exists()


@pytest.mark.parametrize("record", [{"id": "c0"}, {"response": "글"}, {"id": "c0", "response": 3}])
def test_a_wrong_generation_names_file_and_line(tmp_path, record):
    source = _chats(tmp_path)
    write(tmp_path / "gen.jsonl", {"id": "c1", "response": "글"}, record)
    with pytest.raises(UserError, match=r"gen\.jsonl:2"):
        dpo([source], output=tmp_path / "pairs.jsonl", config=DpoConfig(rejected=tmp_path / "gen.jsonl"))


def test_missing_files(tmp_path):
    with pytest.raises(UserError):
        dpo([str(tmp_path / "없음.jsonl")], output=tmp_path / "p.jsonl")
    with pytest.raises(UserError):
        dpo(
            [_chats(tmp_path)],
            output=tmp_path / "p.jsonl",
            config=DpoConfig(rejected=tmp_path / "없음.jsonl"),
        )


def test_other_generations_are_another_run(tmp_path):
    source = _chats(tmp_path)
    first = lines(tmp_path / "chat.jsonl")[0]
    config = DpoConfig(rejected=tmp_path / "gen.jsonl")
    write(tmp_path / "gen.jsonl", generation(first, "틀린 답"))
    dpo([source], output=tmp_path / "pairs.jsonl", config=config)
    write(tmp_path / "gen.jsonl", generation(first, "또 다른 틀린 답"))
    with pytest.raises(UserError, match="another run"):
        dpo([source], output=tmp_path / "pairs.jsonl", config=config)


def test_real_preferences(real_data, tmp_path):
    result = dpo([str(real_data / "preference" / "square_ood.dpo.jsonl")], output=tmp_path / "pairs.jsonl")
    assert result.summary["read"] == 107 == result.summary["kept"]
