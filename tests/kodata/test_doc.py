"""The document contract: round trip, formats, broken input."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.doc import Corpus, Document, place_id, read_records, read_shard, text_id, write_shard
from kodata.run.errors import UserError

DOC = Document("가1", "봄비가 온다.\n꽃이 핀다.", "시험", {"licence": "CC0", "kind": "verse"})


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_round_trip_and_same_bytes(tmp_path: Path, name: str) -> None:
    for copy in ("1", "2"):
        with write_shard(tmp_path / copy / name) as shard:
            shard.write(DOC)
            shard.write(Document("2", ""))
    assert list(read_shard(tmp_path / "1" / name)) == [DOC, Document("2", "")]
    assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@given(st.text(), st.dictionaries(st.text(), st.one_of(st.text(), st.integers(0, 10), st.none())))
def test_any_document_survives(text: str, meta: dict) -> None:
    doc = Document(
        "x", text, "s", {k: v for k, v in meta.items() if k not in ("id", "text", "source", "meta")}
    )
    assert Document.from_dict(doc.to_dict()) == doc


def test_unknown_keys_go_into_meta() -> None:
    doc = Document.from_dict({"id": "1", "text": "글", "조회수": 3, "meta": {"url": "u"}})
    assert doc.meta == {"url": "u", "조회수": 3}


def test_parquet_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([DOC.to_dict()]), tmp_path / "a.parquet")
    assert list(Corpus(tmp_path)) == [DOC]


def test_ids_are_stable() -> None:
    assert text_id("가") == "4c07d58c85a8a169"
    assert place_id("a", "1") != place_id("a1", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"id": "1", "text": "a"}\n{"id": "2", \n', r"a\.jsonl:2: .*broken JSON"),
        (b"[1, 2]\n", r"a\.jsonl:1: .*not a JSON object"),
        (b'{"id": "1"}\n', r'a\.jsonl:1: .*"text"'),
        (b'{"text": "x"}\n', r'a\.jsonl:1: .*"id"'),
        (b'{"id": "1", "text": "\xff"}\n', r"a\.jsonl:1: "),
    ],
)
def test_broken_lines_name_file_and_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=words):
        list(Corpus(tmp_path / "a.jsonl"))


def test_cut_archives_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"id": "1", "text": "a"}\n' * 5000)
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.jsonl.zst").write_bytes(b"not zstd at all")
    for name in ("a.jsonl.gz", "b.jsonl.zst"):
        with pytest.raises(UserError, match=name):
            list(read_records(tmp_path / name))


def test_an_unfinished_run_is_no_corpus(tmp_path: Path) -> None:
    with write_shard(tmp_path / "docs" / "00000.jsonl.zst") as shard:
        shard.write(DOC)
    (tmp_path / "manifest.json").write_text('{"status": "interrupted", "tool": "kodata", "verb": "clean"}')
    with pytest.raises(UserError, match="unfinished run"):
        Corpus(tmp_path)
