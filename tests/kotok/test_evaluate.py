"""`kotok eval` and `kotok inspect`: numbers by hand on small texts, reports, errors."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.run.errors import UserError
from kotok.evaluate import EvalConfig, evaluate
from kotok.explain import explained
from kotok.gguf import write_vocabulary
from kotok.inspect import inspect
from kotok.measure import Measured, encode_with_boundaries, hangul_places, measure, whole_eojeols
from kotok.tokenizer import build, show
from tests.kotok.test_compare_any import ranks_file


@pytest.fixture(scope="module")
def made():
    """Tokens: 한, 국, 어, 한국, and ` 한국`; every other character is bytes."""
    merges, known = [], [bytes([b]) for b in range(256)]

    def join(left, right):
        merges.append((known.index(left), known.index(right), len(known)))
        known.append(left + right)

    for char in ("한", "국", "어"):
        a, b, c = (bytes([x]) for x in char.encode())
        join(a, b)
        join(a + b, c)
    join("한".encode(), "국".encode())
    join(b" ", "한국".encode())
    return build(merges, "llama-bpe")


def test_boundaries_by_hand(made):
    ids, edges, cut = encode_with_boundaries(made, "한국어 한국 가")
    assert [made.token(i).decode("utf-8", "replace") for i in ids] == [
        "한국",
        "어",
        " 한국",
        " ",
        "�",
        "�",
        "�",
    ]
    assert edges.tolist() == [2, 3, 6, 7, 8] and cut.tolist() == [7]
    assert whole_eojeols("한국어 한국 가", edges, cut) == (3, 1)  # 한국어 is cut, 한국 whole, 가 in bytes
    assert hangul_places("한국어 a가나1").tolist() == [1, 2, 6]


def test_counts_by_hand(made):
    text = "한국어 한국"
    got = measure(
        made, [("책", text), ("책", text), ("신문", "한국")], {text: (np.array([1, 2]), hangul_places(text))}
    )
    total = got.total
    assert (total.texts, total.chars, total.tokens, total.eojeols, total.whole, total.lost) == (
        3,
        14,
        7,
        5,
        3,
        0,
    )
    # Kiwi's places were said to be 1 and 2; our one inner boundary of 한국어 is at 2, in each of two texts.
    assert (total.ours, total.gold, total.hits) == (2, 4, 2)
    assert total.rates()["boundary_precision"] == 1.0 and total.rates()["boundary_recall"] == 0.5
    assert set(got.groups) == {"책", "신문"} and got.uses.sum() == 7


def test_renyi_by_hand():
    even = Measured(uses=np.array([5, 5, 5, 5]))
    assert even.renyi() == pytest.approx(1.0)
    half = Measured(uses=np.array([3, 3, 0, 0]))
    assert half.renyi() == pytest.approx(0.5)


def plain(text):
    edges, inside = [], False
    for i, c in enumerate(text):
        if not c.isspace() and not inside:
            edges.append([i, i + 1])
        inside = not c.isspace()
        if inside:
            edges[-1][1] = i + 1
    return edges


@given(st.text(st.sampled_from("한국어가 \nab👍."), max_size=25))
def test_whole_eojeols_as_a_plain_loop(made, text):
    _, edges, cut = encode_with_boundaries(made, text)
    want = sum(not any(a < e < b for e in edges) and not any(a <= c < b for c in cut) for a, b in plain(text))
    assert whole_eojeols(text, edges, cut) == (len(plain(text)), want)


@given(st.text(st.sampled_from("한국어가 \nab👍.ᄒᆞᆫ"), max_size=25))
def test_boundaries_through_tokenizers_are_the_same(made, text):
    """The way foreign tokenizers are measured, on one of ours."""
    from kotok.tokenizer import Tokenizer

    other = Tokenizer(made.spec, made.config)
    other.merges = None
    ours, theirs = encode_with_boundaries(made, text), encode_with_boundaries(other, text)
    assert ours[0].tolist() == theirs[0].tolist()
    assert set(theirs[1].tolist()) - {0, len(text)} == set(ours[1].tolist()) - {0, len(text)}
    assert set(ours[2].tolist()) == set(theirs[2].tolist())


def test_eval_report(tok_folder, corpus, tmp_path):
    result = evaluate(
        [str(tok_folder), str(tok_folder / "tokenizer.json")],
        on=[str(corpus)],
        output=tmp_path / "e",
        config=EvalConfig(kiwi_chars=0),
    )
    first, second = result.summary["tokenizers"].values()
    for key in ("chars_per_token", "whole_eojeols", "renyi", "unused", "tokens_per_eojeol"):
        assert first[key] == second[key]
    assert first["round_trip_failures"] == 0 and set(first["groups"]) == {"책", "신문"}
    kinds = [block["type"] if "type" in block else block.get("kind") for block in result.report]
    assert kinds[:2] == ["table", "intervals"] and "tokens" in kinds and kinds.count("table") == 4
    assert (tmp_path / "e/report.html").read_text().count("kotok eval") >= 1
    assert (
        evaluate(
            [str(tok_folder)], on=[str(corpus)], config=EvalConfig(kiwi_chars=0, max_chars=3000)
        ).summary["tokenizers"]["tok"]["texts"]
        < 100
    )


def test_eval_errors(tok_folder, corpus, tmp_path):
    with pytest.raises(UserError, match="no tokenizer"):
        evaluate([str(tmp_path)], on=[str(corpus)])
    with pytest.raises(UserError, match="no such file"):
        evaluate([str(tok_folder)], on=[str(tmp_path / "none.jsonl")])
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="no text to measure"):
        evaluate([str(tok_folder)], on=[str(tmp_path / "empty.jsonl")])


def test_inspect_text(tok_folder, tok):
    result = inspect(tok_folder, "도서에서 👍")
    assert result.summary["ids"] == tok.encode("도서에서 👍")
    assert result.lines[0].replace("|", "").startswith("도서에서") and "\x1b" not in "".join(result.lines)
    assert len(result.lines) == 2 + len(result.summary["ids"])
    assert any("의 바이트 1" in line for line in result.lines)  # 👍 is cut
    for i, line in zip(result.summary["ids"], result.lines[1:-1], strict=True):
        assert line.split()[0] == str(i) and f"[{show(tok.token(i))}]" in line
    assert str(tok.vocab_size) in "".join(inspect(tok_folder).lines).replace(",", "")


def test_each_token_is_explained(tok):
    ids = tok.encode("했습니다\u200d뷁")
    notes = dict(zip(map(tok.token, ids), explained(tok, ids), strict=True))
    for token, note in notes.items():
        if " + " in note:
            left, right = note[1:-1].split("] + [")
            assert left + right == show(token)
    assert any(" + " in note for note in notes.values())
    byte = {i: n for i, n in zip(ids, explained(tok, ids), strict=True) if "바이트" in n}
    assert "‘뷁’의 바이트" in list(byte.values())[-1] and list(byte.values())[-1].endswith("of 3)")
    assert explained(tok, tok.encode("\n")) == ["U+000A"]  # a character nobody sees
    assert any(n.startswith("U+200D의 바이트") for n in explained(tok, ids))
    assert explained(tok, []) == [] and explained(tok, [0x80]) == [""]


def test_inspect_tokenizers_of_other_makes(tok, tmp_path):
    write_vocabulary(tok, tmp_path / "v.gguf")
    assert inspect(tmp_path / "v.gguf", "도서에서").summary["ids"] == tok.encode("도서에서")
    ranks = ranks_file(tmp_path, tok)
    assert inspect(ranks, "도서에서").summary["ids"] == tok.encode("도서에서")
    assert "tiktoken" in inspect(ranks).lines[0]
    (tmp_path / "c.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "책은?"}]}))
    with pytest.raises(UserError, match="tokenizer folder"):
        inspect(ranks, str(tmp_path / "c.jsonl"))


def test_inspect_chat_and_pair(tok_folder, tok, tmp_path):
    chat = {
        "id": "하나",
        "messages": [{"role": "user", "content": "책은?"}, {"role": "assistant", "content": "있다."}],
    }
    (tmp_path / "c.jsonl").write_text(json.dumps(chat))
    result = inspect(tok_folder, str(tmp_path / "c.jsonl"))
    assert result.lines[1] == "<|begin_of_text|>User: 책은?<|eot_id|>\\nAssistant:⟦ 있다.<|eot_id|>⟧"
    assert sum(line.startswith("+ ") for line in result.lines) == result.summary["examples"][0]["learned"]
    pair = {
        "id": "둘",
        "prompt": chat["messages"][:1],
        "chosen": chat["messages"][1:],
        "rejected": [{"role": "assistant", "content": "없다."}],
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(pair))
    result = inspect(tok_folder, str(tmp_path / "p.jsonl"))
    assert [e["id"] for e in result.summary["examples"]] == ["둘 chosen", "둘 rejected"]
    assert "⟦ 없다.<|eot_id|>⟧" in "".join(result.lines)


def test_inspect_stdin_and_errors(tok_folder, tmp_path):
    command = [sys.executable, "-m", "kotok", "inspect", str(tok_folder)]
    done = subprocess.run([*command, "-"], input="이다\n", capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("이"), done.stderr
    bad = subprocess.run([*command, "-"], input="한국어".encode("cp949"), capture_output=True)
    assert bad.returncode == 1 and b"Traceback" not in bad.stderr
    with pytest.raises(UserError, match="no such file"):
        inspect(tok_folder, str(tmp_path / "none.jsonl"))
