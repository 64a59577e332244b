"""The chat and pair contract: every form in, one form out, errors that name file, line and key."""

import gzip
import json
from pathlib import Path

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from kodata.chat import Chat, Message, Pair, read_chats, read_pairs, write_chats, write_pairs
from kodata.chat.forms import chat_of, pair_of
from kodata.chat.records import RecordError, chat_to_json, check_chat, check_pair, pair_to_json
from kodata.chat.rows import BadRow, read_rows
from kodata.run.errors import UserError

Q, A = "수도는 어디인가요?", "서울입니다."


def said(chat: Chat) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in chat.messages]


ONE = [("user", Q), ("assistant", A)]
CHAT_FORMS = {
    "messages": ({"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]}, ONE),
    "parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": Q}]}, {"role": "assistant", "content": A}]},
        ONE,
    ),
    "prompt_response": ({"prompt": Q, "response": A}, ONE),
    "prompt_completion": ({"prompt": Q, "completion": A}, ONE),
    "prompt_completion_lists": (
        {"prompt": [{"role": "system", "content": "짧게"}, {"role": "user", "content": Q}],
         "completion": [{"role": "assistant", "content": A}]},
        [("system", "짧게"), *ONE],
    ),
    "turns": ({"id": "7", "turns": [f"사용자: {Q}", f"모델: {A}"]}, ONE),
    "turns_english": ({"turns": [f"User: {Q}", f"Assistant: {A}"]}, ONE),
    "turns_wide_colon": ({"turns": [f"사용자：{Q}", f"챗봇 ： {A}"]}, ONE),
    "turns_text": ({"turns": f"시스템: 짧게\n사용자: {Q}\n둘째 줄\n모델: {A}"},
                   [("system", "짧게"), ("user", f"{Q}\n둘째 줄"), ("assistant", A)]),
    "turns_objects": ({"turns": [{"speaker": "사용자", "text": Q}, {"speaker": "모델", "text": A}]}, ONE),
    "alpaca": ({"instruction": Q, "input": "", "output": A}, ONE),
    "alpaca_nan": ({"instruction": Q, "input": "nan", "output": A}, ONE),
    "alpaca_float_nan": ({"instruction": Q, "input": float("nan"), "output": A}, ONE),
    "alpaca_input": ({"instruction": "요약하라.", "input": "긴 글", "output": "짧은 글"},
                     [("user", "요약하라.\n\n긴 글"), ("assistant", "짧은 글")]),
    "koalpaca": ({"instruction": Q, "output": A, "url": "x"}, ONE),
    "sharegpt": ({"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]}, ONE),
    "sharegpt_system": ({"system": "짧게", "conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]},
                        [("system", "짧게"), *ONE]),
    "question_response": ({"question": Q, "response": A}, ONE),
    "question_answer": ({"question": Q, "answer": A, "system": ""}, ONE),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAT_FORMS)
def test_every_chat_form_becomes_the_same_chat(name):
    record, expected = CHAT_FORMS[name]
    chat = chat_of(record)
    check_chat(chat)
    assert said(chat) == expected


QUESTION = [{"role": "user", "content": Q}]
GOOD, BAD = {"role": "assistant", "content": A}, {"role": "assistant", "content": "부산입니다."}
SYSTEM = {"role": "system", "content": "짧게"}
PAIR_FORMS = {
    "strings": ({"prompt": Q, "chosen": A, "rejected": "부산입니다."}, False),
    "responses": ({"prompt": Q, "chosen_response": A, "rejected_response": "부산입니다."}, False),
    "lists": ({"prompt": QUESTION, "chosen": [GOOD], "rejected": [BAD]}, False),
    "prompt_inside": ({"prompt": Q, "chosen": [*QUESTION, GOOD], "rejected": [*QUESTION, BAD]}, False),
    "prompt_and_system_inside": (
        {"prompt": Q, "chosen": [SYSTEM, *QUESTION, GOOD], "rejected": [SYSTEM, *QUESTION, BAD]}, True),
    "implicit": ({"chosen": [SYSTEM, *QUESTION, GOOD], "rejected": [SYSTEM, *QUESTION, BAD]}, True),
    "implicit_with_messages": ({"messages": [*QUESTION, GOOD], "prompt": Q, "score": 3,
                                "chosen": [*QUESTION, GOOD], "rejected": [*QUESTION, BAD]}, False),
    "repeated_text": ({"prompt": Q, "chosen": f"{Q}\n{A}", "rejected": f"{Q} 부산입니다."}, False),
    "orca": ({"system": "짧게", "question": Q, "chosen": A, "rejected": "부산입니다."}, True),
    "instruction": ({"instruction": Q, "input": "nan", "chosen": A, "rejected": "부산입니다."}, False),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIR_FORMS)
def test_every_preference_form_becomes_the_same_pair(name):
    record, system = PAIR_FORMS[name]
    pair = pair_of(record)
    check_pair(pair)
    head = [Message("system", "짧게")] if system else []
    assert pair.prompt == [*head, Message("user", Q)]
    assert pair.chosen == [Message("assistant", A)] and pair.rejected == [Message("assistant", "부산입니다.")]


def test_a_question_quoted_in_one_answer_stays():
    pair = pair_of({"prompt": "왜", "chosen": "왜냐하면 그렇다", "rejected": "모른다"})
    assert pair.chosen[0].content == "왜냐하면 그렇다"


def test_other_keys_go_to_meta_and_ids_are_stable():
    chat = chat_of({"question": Q, "answer": A, "licence": "CC0", "meta": {"쪽": 3}, "source": "책"})
    assert (chat.meta, chat.source) == ({"쪽": 3, "licence": "CC0"}, "책")
    assert chat.id == chat_of({"prompt": Q, "response": A}).id == "4b6d5ebf9a455b08"
    assert chat_of({"id": 12, "prompt": Q, "response": A}).id == "12"


@pytest.mark.parametrize(
    "fields, expected",
    [
        (("사건명", "재결요지"), ("양도 시기", "잔금일이다")),
        (("[{세목}] {사건명}", "답: {재결요지}"), ("[305] 양도 시기", "답: 잔금일이다")),
    ],
)
def test_named_fields_and_templates(fields, expected):
    record = {"사건명": "양도 시기", "재결요지": "잔금일이다", "세목": 305, "빈칸": None}
    chat = chat_of(record, prompt_field=fields[0], response_field=fields[1])
    assert (chat.messages[0].content, chat.messages[1].content) == expected
    assert "빈칸" in chat.meta and "사건명" not in chat.meta
    with pytest.raises(RecordError, match="없는키"):
        chat_of(record, prompt_field="없는키", response_field="재결요지")


WRONG = {
    "unknown_form": ({"text": "글"}, "text"),
    "missing_role": ({"messages": [{"content": Q}]}, r"messages\[0\]\.role"),
    "unknown_role": ({"messages": [{"role": "해설자", "content": Q}]}, "unknown role"),
    "tool_role": ({"messages": [{"role": "tool", "content": Q}]}, "tool messages are not supported"),
    "not_a_list": ({"messages": "글"}, "not a list"),
    "not_a_string": ({"prompt": Q, "response": 3}, "response"),
    "picture": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, r"content\[0\]"),
    "out_of_order": ({"messages": [GOOD, *QUESTION]}, r"messages\[0\]\.role"),
    "twice_user": ({"messages": [*QUESTION, *QUESTION, GOOD]}, r"messages\[1\]\.role"),
    "system_inside": ({"messages": [*QUESTION, SYSTEM, GOOD]}, r"messages\[1\]\.role"),
    "no_answer": ({"messages": QUESTION}, "no answer"),
    "empty_answer": ({"prompt": Q, "response": " \n"}, "empty answer"),
    "no_messages": ({"messages": []}, "no messages"),
    "only_system": ({"messages": [SYSTEM]}, "no answer"),
    "train": ({"messages": [*QUESTION, {**GOOD, "train": "no"}]}, "train"),
    "no_prefix": ({"turns": ["안녕", "모델: 네"]}, r"turns\[0\]"),
    "alpaca_input": ({"instruction": Q, "input": ["x"], "output": A}, "input"),
    "surrogate": ({"prompt": "\ud800", "response": A}, "surrogate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_records_name_file_line_and_key(tmp_path, name):
    record, message = WRONG[name]
    path = tmp_path / "a.jsonl"
    good = orjson.dumps({"prompt": Q, "response": A}).decode()
    path.write_text(f"{good}\n\n{json.dumps(record)}\n", encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        list(read_chats(path))
    assert f"{path}:3:" in str(error.value) and "{" in error.value.help


WRONG_PAIRS = {
    "missing": ({"prompt": Q, "chosen": A}, "rejected"),
    "unknown": ({"prompt": Q, "response": A}, "prompt, response"),
    "no_prompt": ({"chosen": A, "rejected": "부산입니다."}, "prompt"),
    "two_messages": ({"prompt": Q, "chosen": [*QUESTION, GOOD], "rejected": [BAD]}, "chosen"),
    "prompt_ends_with_answer": ({"prompt": [*QUESTION, GOOD], "chosen": [GOOD], "rejected": [BAD]}, "prompt"),
    "empty": ({"prompt": Q, "chosen": "", "rejected": A}, "chosen"),
}


@pytest.mark.parametrize("name", WRONG_PAIRS)
def test_wrong_pairs_name_file_line_and_key(tmp_path, name):
    record, message = WRONG_PAIRS[name]
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        list(read_pairs(path))
    assert f"{path}:1:" in str(error.value) and "chosen" in error.value.help


def test_repeated_id_and_broken_line_are_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "prompt": "가", "response": "나"}\n' * 2, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.jsonl:2: id: '1'"):
        list(read_chats(path))
    path.write_text('{"prompt": "가", "response": "나"}\n{"prompt', encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.jsonl:2: .*JSON"):
        list(read_chats(path))


def test_questions_alone_are_read_for_generation(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(
        '{"prompt": "가", "response": "나"}\n{"messages": [{"role": "user", "content": "다"}]}\n',
        encoding="utf-8",
    )
    chats = list(read_chats(path, answers=False))
    assert [(c.prompt[-1].content, c.answer) for c in chats] == [("가", "나"), ("다", "")]


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
META = st.dictionaries(
    TEXT, st.one_of(TEXT, st.integers(-(2**53), 2**53), st.booleans(), st.none()), max_size=3
)


@st.composite
def conversations(draw):
    rounds = draw(st.lists(st.tuples(TEXT, TEXT, st.booleans()), min_size=1, max_size=3))
    head = [Message("system", draw(TEXT))] if draw(st.booleans()) else []
    return head + [m for q, a, t in rounds for m in (Message("user", q), Message("assistant", a, t))]


@given(st.lists(st.tuples(conversations(), TEXT, META), max_size=4))
def test_chats_survive_a_round_trip(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("chats") / "a.jsonl"
    chats = [Chat(str(i), messages, source, meta) for i, (messages, source, meta) in enumerate(items)]
    assert write_chats(path, chats) == len(chats)
    assert list(read_chats(path)) == chats


@given(st.lists(st.tuples(conversations(), TEXT, TEXT, META), max_size=4))
def test_pairs_survive_a_round_trip(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("pairs") / "p.jsonl"
    pairs = [
        Pair(str(i), messages[:-1], [Message("assistant", a)], [Message("assistant", b)], "원천", meta)
        for i, (messages, a, b, meta) in enumerate(items)
    ]
    assert write_pairs(path, pairs) == len(pairs)
    assert list(read_pairs(path)) == pairs


def test_files_are_trl_s_own_form():
    chat = Chat("1", [Message("user", Q), Message("assistant", A, train=False)])
    assert chat_to_json(chat)["messages"] == [*QUESTION, {**GOOD, "train": False}]
    pair = Pair("1", [Message("user", Q)], [Message("assistant", A)], [Message("assistant", "부산입니다.")])
    record = pair_to_json(pair)
    assert (record["prompt"], record["chosen"], record["rejected"]) == (QUESTION, [GOOD], [BAD])


# --- files ------------------------------------------------------------------------------------------------

ROWS = [{"prompt": "가", "response": "나"}, {"prompt": "다\n라", "response": '"마"'}]


def _write_forms(folder: Path) -> list[Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = b"".join(orjson.dumps(r) + b"\n" for r in ROWS)
    table = 'prompt,response\r\n가,나\r\n"다\n라","""마"""\r\n'
    files = {
        "a.jsonl": lines,
        "bom.jsonl": b"\xef\xbb\xbf" + lines,
        "list.jsonl": orjson.dumps(ROWS),
        "b.jsonl.gz": gzip.compress(lines),
        "c.jsonl.zst": zstandard.compress(lines),
        "wrong_suffix.jsonl": gzip.compress(lines),
        "d.json": orjson.dumps(ROWS, option=orjson.OPT_INDENT_2),
        "wrapped.json": orjson.dumps({"version": "1", "data": ROWS}),
        "e.csv": table.encode(),
        "excel.csv": b"\xef\xbb\xbf" + table.encode(),
        "cp949.csv": table.encode("cp949"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "f.parquet")
    with (
        pa.OSFile(str(folder / "g.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, pa.Table.from_pylist(ROWS).schema) as out,
    ):
        out.write_table(pa.Table.from_pylist(ROWS))
    from openpyxl import Workbook

    book = Workbook()
    for row in (["prompt", "response"], *([r["prompt"], r["response"]] for r in ROWS)):
        book.active.append(row)
    book.save(folder / "h.xlsx")
    return [
        *(folder / name for name in files),
        *(folder / name for name in ("f.parquet", "g.arrow", "h.xlsx")),
    ]


def test_every_file_form_gives_the_same_rows(tmp_path):
    for path in _write_forms(tmp_path):
        assert [row for _, row in read_rows(path)] == ROWS, path.name


def test_tsv_takes_quotes_as_text(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('a\tb\n"그는 말했다\t그래"\n"온전히ㅤ""인용"""\t나\n1\t2\t3\n', encoding="utf-8")
    rows = list(read_rows(path))
    assert rows[0] == (2, {"a": '"그는 말했다', "b": '그래"'})
    assert rows[1] == (3, {"a": '온전히ㅤ"인용"', "b": "나"})
    assert isinstance(rows[2][1], BadRow)


def test_broken_files_are_user_errors(tmp_path):
    cut = gzip.compress(b'{"prompt": "a", "response": "b"}\n' * 1000)[:-30]
    broken = {
        "cut.jsonl.gz": cut,
        "x.json": b"{",
        "x.parquet": b"PAR1nonsense",
        "x.jsonl.zst": b"\x28\xb5\x2f\xfd\0\0junk",
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=name):
            list(read_rows(tmp_path / name))
    with pytest.raises(UserError, match="no such file"):
        list(read_rows(tmp_path / "없음.jsonl"))
    with pytest.raises(UserError, match="unknown file type"):
        (tmp_path / "a.docx").write_bytes(b"x")
        list(read_rows(tmp_path / "a.docx"))


def test_bad_lines_do_not_stop_the_rest(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"a": 1}\n{bad\n[1, 2]\n\xff\xfe\n{"a": NaN}\n\x00\n' + b"[" * 100_000 + b'\n{"a": 2}\n'
    )
    rows = list(read_rows(path))
    assert [line for line, row in rows if isinstance(row, BadRow)] == [2, 3, 4, 7]  # 6 holds a NUL only
    assert [line for line, row in rows if isinstance(row, dict)] == [1, 5, 8]
