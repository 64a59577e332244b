"""Readers: every form, whole and broken. Nothing is lost: what cannot be read is a named Failure."""

import errno
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from kodata.run.errors import UserError
from kodata.sources import Failure, Record, Settings, parts, read, recognise
from kodata.sources.fields import NoText, find_text
from kodata.sources.hub import parse
from kodata.sources.streams import BrokenInput, member_name, open_bytes

TEXT = "오늘은 날씨가 맑아서 동네 도서관까지 걸어가 책을 빌려 왔다."
LINE = json.dumps({"id": "a", "text": TEXT, "license": "MIT", "별점": 5}, ensure_ascii=False)


def items(
    path: Path, settings: Settings | None = None, form: str = "auto", unit: int = 1 << 20
) -> list[Record | Failure]:
    return [
        item for part in parts(path, path.name, form, unit, 0) for item in read(part, settings or Settings())
    ]


def texts(path: Path, **kwargs: object) -> list[str]:
    found = items(path, **kwargs)  # type: ignore[arg-type]
    assert all(isinstance(item, Record) for item in found), found
    return [item.text for item in found]


def failure(path: Path, **kwargs: object) -> Failure:
    found = items(path, **kwargs)[-1]  # type: ignore[arg-type]
    assert isinstance(found, Failure)
    assert found.file.startswith(str(path))
    return found


def make(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_text_file_is_a_document(tmp_path: Path, encoding: str) -> None:
    assert texts(make(tmp_path / "글.txt", f"{TEXT}\n{TEXT}".encode(encoding))) == [f"{TEXT}\n{TEXT}"]


def test_text_by_line_and_by_block(tmp_path: Path) -> None:
    file = make(tmp_path / "a.md", "하나\r\n둘\r\n\r\n셋\n")
    assert texts(file, settings=Settings(split="line")) == ["하나", "둘", "셋"]
    assert texts(file, settings=Settings(split="blank")) == ["하나\n둘", "셋\n"]


def test_long_text_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.sources.plain.PIECE_CHARS", 100)
    text = "\n".join(f"{i}번째 줄이다." for i in range(100))
    found = texts(make(tmp_path / "a.txt", text))
    assert "".join(found) == text and len(found) > 5 and all(piece.endswith("\n") for piece in found[:-1])


def test_binary_called_text_is_refused(tmp_path: Path) -> None:
    assert "이진" in failure(make(tmp_path / "a.txt", bytes(range(256)) * 50)).reason


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2", ".xz"])
def test_jsonl_in_every_packing(tmp_path: Path, suffix: str) -> None:
    import bz2
    import lzma

    import zstandard

    pack = {
        "": bytes,
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }[suffix]
    found = items(make(tmp_path / f"a.jsonl{suffix}", pack(f"{LINE}\n\n{LINE}\n".encode())))
    assert [(r.text, r.id, r.place, r.meta) for r in found] == [
        (TEXT, "a", n, {"licence": "MIT", "별점": 5}) for n in ("1", "3")
    ]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_cut_archives_keep_what_was_there_and_are_named(tmp_path: Path, suffix: str) -> None:
    import bz2
    import lzma
    import random

    import zstandard

    pack = {
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }[suffix]
    rng = random.Random(1)
    data = "".join(
        json.dumps({"text": TEXT + "".join(rng.choices("가나다라마바사", k=200))}, ensure_ascii=False) + "\n"
        for _ in range(3000)
    )
    whole = pack(data.encode())
    file = make(tmp_path / f"a.jsonl{suffix}", whole[: len(whole) // 2])
    assert failure(file).place.endswith("+") or suffix in (".bz2", ".xz")
    make(tmp_path / f"b.jsonl{suffix}", b"this is not packed at all, whatever its name says")
    assert isinstance(items(tmp_path / f"b.jsonl{suffix}")[0], Failure)


def test_broken_lines_are_failures_with_their_line(tmp_path: Path) -> None:
    lines = [
        LINE.encode(),
        b'{"text": ',
        b'{"text": "\xff"}',
        b"[1]",
        b'{"other": "x"}',
        LINE.encode("cp949"),
        b'"\xea\xb0\x80"',
        b'{"text": "\\ud83d x"}',
    ]
    found = items(make(tmp_path / "a.jsonl", b"\n".join(lines)))
    assert [type(item).__name__ for item in found] == [
        "Record",
        "Failure",
        "Failure",
        "Failure",
        "Failure",
        "Record",
        "Record",
        "Record",
    ]
    assert [item.place for item in found] == [str(i) for i in range(1, 9)]
    assert "other" in found[4].reason and "--text-field" in found[4].reason  # type: ignore[union-attr]


def test_a_line_over_the_limit_is_skipped_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.sources.rows.MAX_LINE_BYTES", 500)
    long = json.dumps({"text": "가" * 1000}, ensure_ascii=False)
    found = items(make(tmp_path / "a.jsonl", f"{LINE}\n{long}\n{LINE}\n"))
    assert [(type(i).__name__, i.place) for i in found] == [
        ("Record", "1"),
        ("Failure", "2"),
        ("Record", "3"),
    ]


def test_plain_jsonl_is_cut_at_lines_and_line_numbers_stay_true(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"{i} {TEXT}"}, ensure_ascii=False) for i in range(500)]
    rows[333] = "{broken"
    file = make(tmp_path / "a.jsonl", "\n".join(rows))
    pieces = parts(file, "a.jsonl", "auto", 5000, 0)
    assert len(pieces) > 5 and pieces[0].start == 0 and pieces[-1].end == file.stat().st_size
    found = [item for part in pieces for item in read(part, Settings())]
    assert [item.place for item in found] == [str(i + 1) for i in range(500)]
    assert [item.place for item in found if isinstance(item, Failure)] == ["334"]


def test_json_forms(tmp_path: Path) -> None:
    row = {"title": "가", "contents": TEXT}
    for root in ([row, row], {"data": [row, row]}, {"meta": 1, "things": [row, row]}):
        assert texts(make(tmp_path / "a.json", b"\xef\xbb\xbf" + json.dumps(root).encode())) == [TEXT, TEXT]
    assert texts(make(tmp_path / "a.json", json.dumps(row))) == [TEXT]
    assert texts(make(tmp_path / "a.json", f"{LINE}\n{LINE}\n")) == [TEXT, TEXT]
    assert texts(make(tmp_path / "a.json", json.dumps(row, ensure_ascii=False).encode("cp949"))) == [TEXT]
    assert (
        "paragraph"
        in failure(
            make(tmp_path / "a.json", '{"id": 1, "paragraph": [{"form": "가"}], "x": [{"y": 1}]}')
        ).reason
    )
    assert "깨짐" in failure(make(tmp_path / "a.json", '{"text": ')).reason
    notebook = {
        "nbformat": 4,
        "cells": [
            {"cell_type": "markdown", "source": ["# 제목\n", "글"]},
            {"cell_type": "code", "source": "x = 1"},
        ],
    }
    assert texts(make(tmp_path / "a.ipynb", json.dumps(notebook))) == ["# 제목\n글\n\n```\nx = 1\n```"]


def test_tables(tmp_path: Path) -> None:
    from openpyxl import Workbook

    file = make(
        tmp_path / "a.csv", f'id,본문,licence\n1,"{TEXT}\n둘째, 줄",MIT\n2,,MIT\n3,a,b,c\n'.encode("cp949")
    )
    found = items(file)
    assert [getattr(i, "text", None) for i in found] == [f"{TEXT}\n둘째, 줄", "", None]
    assert found[0].meta == {"licence": "MIT"} and found[0].id == "1" and isinstance(found[2], Failure)  # type: ignore[union-attr]
    assert texts(make(tmp_path / "a.tsv", f'id\tdocument\n1\t"{TEXT}\n2\t나\n')) == [f'"{TEXT}', "나"]
    book = Workbook()
    book.active.append(["번호", "내용"])
    book.active.append([1, TEXT])
    book.create_sheet("둘째").append(["문장"])
    book["둘째"].append([TEXT])
    book.save(tmp_path / "a.xlsx")
    assert texts(tmp_path / "a.xlsx") == [TEXT, TEXT]
    assert isinstance(failure(make(tmp_path / "b.xlsx", b"PK broken")), Failure)


def test_parquet_and_arrow(tmp_path: Path) -> None:
    import datetime

    import pyarrow as pa
    import pyarrow.ipc
    import pyarrow.parquet as pq

    table = pa.table({"text": [f"{i} {TEXT}" for i in range(40)], "date": [datetime.date(2024, 1, 1)] * 40})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    pieces = parts(tmp_path / "a.parquet", "a.parquet", "auto", 1, 0)
    assert len(pieces) == 4
    assert [i.place for part in pieces for i in read(part, Settings())] == [str(i + 1) for i in range(40)]
    (tmp_path / "saved").mkdir()
    with pyarrow.ipc.new_stream(tmp_path / "saved" / "data-00000-of-00001.arrow", table.schema) as out:
        out.write_table(table)
    make(tmp_path / "saved" / "state.json", "{}")
    assert parts(tmp_path / "saved" / "state.json", "state.json", "auto", 1, 0) == []
    assert len(texts(tmp_path / "saved" / "data-00000-of-00001.arrow")) == 40
    assert isinstance(failure(make(tmp_path / "b.parquet", b"PAR1 no")), Failure)


PAGE = """<html><head><meta charset="{charset}"><title>마을 소식</title></head><body><nav>홈 로그인</nav><article><h1>도서관이 열렸다</h1>
<p>군은 마을 도서관 세 곳을 새로 열었다고 밝혔다. 주민들은 아이들과 함께 책을 읽을 곳이 생겨 반갑다고 말했다.</p>
<p>도서관은 매주 월요일에 쉬며 오전 아홉 시부터 저녁 여섯 시까지 문을 연다. 빌린 책은 두 주 안에 돌려주면 된다.</p></article></body></html>"""


@pytest.mark.parametrize(
    ("charset", "encoding"), [("utf-8", "utf-8"), ("euc-kr", "cp949"), ("ks_c_5601-1987", "cp949")]
)
def test_html(tmp_path: Path, charset: str, encoding: str) -> None:
    (found,) = items(make(tmp_path / "a.html", PAGE.format(charset=charset).encode(encoding)))
    assert isinstance(found, Record)
    assert "도서관은 매주 월요일에 쉬며" in found.text and "로그인" not in found.text
    assert found.meta["kind"] == "web" and "title" in found.meta


def test_zip(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../밖.txt", TEXT)
        archive.writestr("안/a.jsonl", LINE)
        archive.writestr("b.png", b"\x89PNG")
        archive.writestr("c.txt", b"0" * 30_000_000)
        archive.writestr("__MACOSX/._a.jsonl", "x")
    file = make(tmp_path / "a.zip", data.getvalue())
    found = items(file)
    assert [getattr(i, "text", "-") for i in found] == [TEXT, TEXT, "-", "-"]
    assert [i.file.partition("!")[2] for i in found if isinstance(i, Failure)] == ["b.png", "c.txt"]
    assert sorted(p.name for p in tmp_path.parent.rglob("밖.txt")) == []
    assert "zip" in failure(make(tmp_path / "b.zip", data.getvalue()[:300])).reason


def test_korean_names_in_old_zips() -> None:
    info = zipfile.ZipInfo("x")
    info.filename = "한글 이름.txt".encode("cp949").decode("cp437")
    assert member_name(info) == "한글 이름.txt"


def test_unknown_and_empty_are_named(tmp_path: Path) -> None:
    assert ".xyz" in failure(make(tmp_path / "a.xyz", b"\xd0\xcf\x12\xe0")).reason
    for name in ("a.txt", "a.jsonl", "a.csv"):
        assert "빈 파일" in failure(make(tmp_path / name, b"")).reason
    assert (
        recognise("자료", b'{"text": 1}') == "jsonl"
        and recognise("page", b"<!DOCTYPE html>") == "html"
        and recognise("x", b"\x00\x01") == "unknown"
    )


def test_text_field(tmp_path: Path) -> None:
    row = {"사건명": "손해배상", "재결": {"요지": "기각한다."}, "번호": 3}
    assert find_text(row, "재결.요지")[0] == "기각한다."
    assert find_text(row, "{사건명}\\n{재결.요지} {번호}")[0] == "손해배상\n기각한다. 3"
    with pytest.raises(NoText, match="사건명, 재결, 번호"):
        find_text(row, "{없음}")
    with pytest.raises(NoText, match="no known text key"):
        find_text(row, None)
    assert (
        find_text({"Text": "가"}, None)[0] == "가"
        and find_text({"content": ["가", "나"]}, None)[0] == "가\n나"
    )


def test_record_keys_and_settings(tmp_path: Path) -> None:
    row = {
        "id": 7,
        "text": TEXT,
        "source": "신문",
        "url_or_path": "http://a",
        "kind": "news",
        "meta": {"b": 1},
        "title": "제목",
    }
    file = make(tmp_path / "a.jsonl", json.dumps(row))
    (found,) = items(file, Settings(kind="law", licence="CC0-1.0"))
    assert (found.id, found.source, found.meta) == (  # type: ignore[union-attr]
        "7", "신문", {"b": 1, "url": "http://a", "title": "제목", "kind": "news", "licence": "CC0-1.0"}
    )  # fmt: skip
    assert items(file, Settings(source="모음"))[0].source == "모음"  # type: ignore[union-attr]


def test_hub_addresses() -> None:
    assert (
        parse("hf:a/b") == ("a/b", None, "train")
        and parse("hf:a/b:c") == ("a/b", "c", "train")
        and parse("hf:a/b::test") == ("a/b", None, "test")
    )
    for wrong in ("hf:", "hf:a:b:c:d"):
        with pytest.raises(UserError, match="bad dataset name"):
            parse(wrong)


def test_a_local_dataset_folder_through_the_datasets_library(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from kodata.sources.hub import dataset_parts

    (tmp_path / "data").mkdir()
    for i in range(2):
        pq.write_table(
            pa.table({"text": [f"{i}{j} {TEXT}" for j in range(3)]}),
            tmp_path / "data" / f"train-0000{i}-of-00002.parquet",
        )
    pieces = dataset_parts(f"hf:{tmp_path}", 0)
    assert len(pieces) == 2
    assert [i.text[:2] for part in pieces for i in read(part, Settings())] == [
        "00",
        "01",
        "02",
        "10",
        "11",
        "12",
    ]  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_bombs_are_refused_before_they_are_unpacked(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bz2
    import lzma

    import zstandard

    monkeypatch.setattr("kodata.sources.streams.MAX_RATIO", 200)
    pack = {
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }[suffix]
    file = make(tmp_path / f"a.txt{suffix}", pack(bytes(64 << 20)))
    given = 0
    with pytest.raises(BrokenInput, match="너무 큼"), open_bytes(str(file), file.name) as handle:
        while block := handle.read(1 << 16):
            given += len(block)
    assert given < 32 << 20


def test_zstd_frames_follow_one_another_and_a_cut_last_one_is_named(tmp_path: Path) -> None:
    import random

    import zstandard

    rng = random.Random(2)
    data = [rng.randbytes(5000), b"", rng.randbytes(100_000)]
    packed = [zstandard.ZstdCompressor().compress(block) for block in data]
    file = make(tmp_path / "a.txt.zst", b"".join(packed))
    with open_bytes(str(file), file.name) as handle:
        assert handle.read() == b"".join(data)
    make(file, b"".join(packed)[:-10])
    with pytest.raises(BrokenInput, match="끊김"), open_bytes(str(file), file.name) as handle:
        handle.read()


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_lost_disk_is_no_broken_input(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="없는"), open_bytes(str(tmp_path / "없는.txt"), "없는.txt"):
        pass
    file = make(tmp_path / "a.txt", TEXT)
    with pytest.raises(UserError, match=r"a\.txt"), open_bytes(str(file), file.name):
        raise OSError(number, "gone")


def test_documents_in_a_zip_are_not_archives(tmp_path: Path) -> None:
    import zipfile

    from kodata.sources.forms import recognise

    def head(*names: str) -> bytes:
        with zipfile.ZipFile(tmp_path / "x", "w") as archive:
            for name in names:
                archive.writestr(name, "내용")
        return (tmp_path / "x").read_bytes()[:4096]

    word = head("[Content_Types].xml", "word/document.xml")
    assert recognise("보고서.docx", word) == recognise("보고서", word) == "unknown"
    assert recognise("lib.jar", head("META-INF/MANIFEST.MF")) == "unknown"
    assert recognise("글.zip", head("글.txt")) == recognise("글", head("글.txt")) == "zip"
