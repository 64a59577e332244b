"""kodata sft: what is kept, what is dropped and why, and that counts add up."""

import json
import unicodedata

import pytest

from kodata.chat import read_chats
from kodata.chat.sft import SftConfig, sft
from kodata.pii import PiiConfig
from kodata.run.errors import UsageError, UserError


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path, *records) -> str:
    text = "\n".join(r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records)
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)


def turns(*texts, **more) -> dict:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": t} for i, t in enumerate(texts)], **more}


def test_forms_mix_and_everything_else_is_dropped_with_a_reason(tmp_path):
    source = write(
        tmp_path / "섞임.jsonl",
        {"prompt": "가?", "response": "나."},
        {"instruction": "다?", "input": "", "output": "라."},
        "{깨진 줄",
        {"text": "모르는 모양"},
        {"prompt": "빈 답?", "response": "  "},
        {"prompt": "  ", "response": "질문이 없다"},
        {"prompt": "되풀이", "response": " 되풀이 "},
        {"question": "가?", "answer": "나."},
        {"messages": [{"role": "assistant", "content": "먼저 말함"}]},
        {"prompt": "길다?", "response": "글" * 200},
        {"prompt": 7, "response": "나."},
    )
    result = sft([source], output=tmp_path / "chat.jsonl", config=SftConfig(max_chars=100))
    chats = list(read_chats(tmp_path / "chat.jsonl"))
    assert [(c.prompt[-1].content, c.answer, c.source) for c in chats] == [
        ("가?", "나.", "섞임"),
        ("다?", "라.", "섞임"),
    ]
    dropped = lines(tmp_path / "chat.run" / "dropped.jsonl")
    assert [(d["line"], d["drop"]["reason"]) for d in dropped] == [
        (3, "broken"), (4, "unknown_form"), (5, "empty_answer"), (6, "empty_prompt"), (7, "echo"), (8, "duplicate"),
        (9, "role_order"), (10, "too_long"), (11, "broken"),
    ]  # fmt: skip
    assert dropped[7]["drop"]["value"] == 203 and dropped[7]["drop"]["limit"] == 100
    assert dropped[8]["drop"]["key"] == "prompt"
    summary = result.summary
    assert summary["read"] == summary["kept"] + sum(summary["dropped"].values()) == 11
    assert any("섞임.jsonl:3" in line for line in result.lines)
    assert {b["type"] for b in result.report} >= {"funnel", "histogram", "samples", "table"}


def test_same_input_same_bytes_and_a_finished_run_answers(tmp_path):
    source = write(tmp_path / "a.jsonl", turns("가", "나"), turns("다", "라"))
    sft([source], output=tmp_path / "1.jsonl")
    sft([source], output=tmp_path / "2.jsonl")
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
    before = (tmp_path / "1.jsonl").stat().st_mtime_ns
    assert sft([source], output=tmp_path / "1.jsonl").summary["kept"] == 2
    assert (tmp_path / "1.jsonl").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="system"):
        sft([source], output=tmp_path / "1.jsonl", config=SftConfig(system="짧게 답하라."))


def test_system_goes_only_where_there_is_none(tmp_path):
    own = {"messages": [{"role": "system", "content": "자기 것"}, *turns("다", "라")["messages"]]}
    source = write(tmp_path / "a.jsonl", turns("가", "나"), own)
    sft([source], output=tmp_path / "chat.jsonl", config=SftConfig(system="짧게 답하라."))
    first, second = read_chats(tmp_path / "chat.jsonl")
    assert [m.content for m in first.messages] == ["짧게 답하라.", "가", "나"]
    assert second.messages[0].content == "자기 것"


def test_rounds_are_cut_and_a_last_question_without_answer_goes(tmp_path):
    source = write(tmp_path / "a.jsonl", turns("1", "2", "3", "4", "5"), turns("a", "b", "c", "d", "e", "f"))
    result = sft([source], output=tmp_path / "chat.jsonl", config=SftConfig(max_turns=2))
    assert [[m.content for m in c.messages] for c in read_chats(tmp_path / "chat.jsonl")] == [
        list("1234"),
        list("abcd"),
    ]
    assert result.summary["notes"] == {"last_question_cut": 1, "rounds_cut": 1}


def test_train_false_is_kept(tmp_path):
    record = turns("가", "나", "다", "라")
    record["messages"][1]["train"] = False
    source = write(tmp_path / "a.jsonl", record)
    sft([source], output=tmp_path / "chat.jsonl")
    assert lines(tmp_path / "chat.jsonl")[0]["messages"][1] == {
        "role": "assistant",
        "content": "나",
        "train": False,
    }


def test_repeated_ids_become_unique(tmp_path):
    sources = [write(tmp_path / f"{n}.jsonl", {"id": 1, "prompt": n, "response": "답"}) for n in "가나"]
    result = sft(sources, output=tmp_path / "chat.jsonl")
    ids = [c.id for c in read_chats(tmp_path / "chat.jsonl")]
    assert ids[0] == "1" and ids[1].startswith("1-") and result.summary["notes"] == {"id_changed": 1}


def test_named_fields(tmp_path):
    source = write(
        tmp_path / "rulings.jsonl",
        {"사건명": "양도 시기", "재결요지": "잔금을 낸 날이다."},
        {"사건명": "취득 시기", "재결요지": ""},
        {"사건명": "빠진 답"},
    )
    config = SftConfig(prompt_field="사건명", response_field="재결요지")
    result = sft([source], output=tmp_path / "chat.jsonl", config=config)
    assert result.summary["kept"] == 1 and result.summary["dropped"] == {"broken": 1, "empty_answer": 1}
    with pytest.raises(UsageError):
        SftConfig(prompt_field="사건명")


def test_text_is_put_into_normal_form(tmp_path):
    decomposed = unicodedata.normalize("NFD", "가\r\n나?")
    source = write(tmp_path / "a.jsonl", turns(decomposed, "다"))
    sft([source], output=tmp_path / "chat.jsonl")
    assert [m.content for m in next(read_chats(tmp_path / "chat.jsonl")).messages] == ["가\n나?", "다"]
    sft([source], output=tmp_path / "raw.jsonl", config=SftConfig(normalise=False))
    assert next(read_chats(tmp_path / "raw.jsonl")).messages[0].content == decomposed


def test_meta_that_orjson_refuses_is_kept(tmp_path):
    source = write(
        tmp_path / "a.jsonl",
        '{"prompt": "가", "response": "나", "big": 123456789012345678901234567890, "s": "\\ud800"}',
    )
    sft([source], output=tmp_path / "chat.jsonl")
    assert next(read_chats(tmp_path / "chat.jsonl")).meta["big"] == 123456789012345678901234567890


@pytest.mark.parametrize(
    "content", ["", "{broken\n", '{"text": "글"}\n', '{"prompt": "가", "response": ""}\n']
)
def test_nothing_usable_is_an_error_and_leaves_no_output(tmp_path, content):
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        sft([str(tmp_path / "a.jsonl")], output=tmp_path / "chat.jsonl")
    assert "{" in error.value.help and not (tmp_path / "chat.jsonl").exists()


def test_missing_file_and_wrong_numbers(tmp_path):
    with pytest.raises(UserError):
        sft([str(tmp_path / "없음.jsonl")], output=tmp_path / "chat.jsonl")
    with pytest.raises(UsageError):
        SftConfig(max_turns=-1)


def test_limit_and_dry_run(tmp_path):
    source = write(tmp_path / "a.jsonl", turns("가", "나"), turns("다", "라"), turns("마", "바"))
    assert sft([source], output=tmp_path / "chat.jsonl", limit=2).summary["read"] == 2
    result = sft([source], output=tmp_path / "other.jsonl", dry_run=True)
    assert result.summary["kept"] == 3 and not (tmp_path / "other.jsonl").exists()
    assert not (tmp_path / "other.run").exists()


def test_real_instructions(real_data, tmp_path):
    result = sft([str(real_data / "instruct")], output=tmp_path / "chat.jsonl")
    summary = result.summary
    assert summary["read"] == 11_823 == summary["kept"] + sum(summary["dropped"].values())
    assert sum(1 for _ in read_chats(tmp_path / "chat.jsonl")) == summary["kept"] > 11_000


def test_personal_data_is_tagged_also_in_what_is_dropped(tmp_path):
    call = "전화는 010-1234-5678입니다."
    source = write(
        tmp_path / "a.jsonl",
        {"prompt": "연락처?", "response": call, "메모": "gildong.hong@naver.com"},
        {"prompt": call, "response": ""},
    )
    result = sft([source], output=tmp_path / "chat.jsonl")
    chat = next(read_chats(tmp_path / "chat.jsonl"))
    assert chat.answer == "전화는 [전화번호]입니다." and chat.meta == {"메모": "[이메일]"}
    assert "1234" not in (tmp_path / "chat.run" / "dropped.jsonl").read_text(encoding="utf-8")
    assert result.summary["pii"]["phone"] == 2
    sft([source], output=tmp_path / "raw.jsonl", config=SftConfig(pii=PiiConfig(mode="off")))
    assert next(read_chats(tmp_path / "raw.jsonl")).answer == call


def test_template_newlines_may_be_typed(tmp_path):
    source = write(tmp_path / "a.jsonl", {"제목": "가", "본문": "나", "답": "다"})
    config = SftConfig(prompt_field="{제목}\\n{본문}", response_field="답")
    sft([source], output=tmp_path / "chat.jsonl", config=config)
    assert next(read_chats(tmp_path / "chat.jsonl")).messages[0].content == "가\n나"


def test_every_fault_names_its_place_and_loses_nothing_else(tmp_path):
    good = [
        {"id": "a", "prompt": f"{i}번 물음은 무엇인가요?", "response": f"{i}번 답입니다."} for i in range(3)
    ]
    source = write(
        tmp_path / "bad.jsonl",
        good[0],
        {"prompt": "가?", "respons": "나"},
        {"messages": [{"role": "assistant", "content": "나"}, {"role": "user", "content": "가"}]},
        good[1],
        "{broken",
        {"messages": [{"role": "user", "content": "답은?"}]},
        {"messages": [{"role": "user", "content": "도구?"}, {"role": "tool", "content": "x"}]},
        {"prompt": "긴 답?", "response": "글" * 50_000},
        good[2],
    )
    result = sft([source], output=tmp_path / "chat.jsonl")
    assert result.summary["kept"] == 3 and result.summary["read"] == 9
    assert result.summary["dropped"] == {
        "broken": 1, "no_answer": 1, "role_order": 1, "too_long": 1, "tool": 1, "unknown_form": 1,
    }  # fmt: skip
    assert [d["line"] for d in lines(tmp_path / "chat.run" / "dropped.jsonl")] == [2, 3, 5, 6, 7, 8]
    told = "\n".join(result.lines)
    assert "bad.jsonl:2: " in told and "bad.jsonl:3: messages[0].role" in told and '"role": "user"' in told
    assert "(repeated ids changed): 2" in told


def test_rows_nested_too_deep_are_broken_rows(tmp_path):
    good = {
        "messages": [{"role": "user", "content": "수도는?"}, {"role": "assistant", "content": "서울입니다."}]
    }
    deep = "[" * 1000 + "]" * 1000
    lines = [f'{{"a": {deep}}}', json.dumps(good, ensure_ascii=False), f'{{"messages": {deep}}}']
    for name, content in (("in.jsonl", "\n".join(lines)), ("in.json", f"[{lines[1]}]")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    result = sft([str(tmp_path / "in.jsonl")], output=tmp_path / "out.jsonl")
    assert result.summary["kept"] == 1 and result.summary["dropped"] == {"broken": 2}
    (tmp_path / "deep.json").write_text(f"[{lines[0]}]", encoding="utf-8")
    with pytest.raises(UserError, match="deep"):
        sft([str(tmp_path / "in.json"), str(tmp_path / "deep.json")], output=tmp_path / "other.jsonl")


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl.zst", "out.json", "out.csv"])
def test_an_output_named_like_another_file_type_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="JSON lines"):
        sft([str(tmp_path / "in.jsonl")], output=tmp_path / name)
    assert not list(tmp_path.iterdir())
