"""AI Hub as it lands on disk: zips in zips, parts to join, tars, odd names, and everything that can be broken about them."""

import gzip
import io
import json
import random
import struct
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.sources import Failure, Record, Settings, parts, read
from kodata.sources.aihub.bulk import Bulk
from kodata.sources.aihub.marks import spoken, unmasked
from kodata.sources.aihub.provenance import Provenance, provenance
from kodata.sources.aihub.tolerant import is_table, loads, repaired, values
from kodata.sources.streams import Joined
from kodata.sources.task_files import read_tasks
from tests.kodata.aihub_layouts import RAIN, ROAD, zipped

BOOK = {
    "passage_id": "P1",
    "metadata": {"doc_name": "냇가"},
    "chapter": "1장",
    "passage": RAIN,
    "summary": ROAD,
}


def book(n: int = 1, passage: str = RAIN) -> bytes:
    return json.dumps({**BOOK, "passage_id": f"P{n}", "passage": passage}, ensure_ascii=False).encode()


def books(count: int, prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{n:03}.json": book(n) for n in range(count)}


def items(path: Path) -> list[Record | Failure]:
    return [item for part in parts(path, path.name, "auto", 1 << 20, 0) for item in read(part, Settings())]


def ids(path: Path) -> list[str | None]:
    found = items(path)
    assert all(isinstance(i, Record) for i in found), found
    return [i.id for i in found if isinstance(i, Record)]


def only_failure(path: Path) -> Failure:
    [found] = items(path)
    assert isinstance(found, Failure)
    return found


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


# --- parts to join


def cut(folder: Path, data: bytes, size: int, offsets: bool, first: int = 0) -> list[Path]:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return [
        put(folder / f"TL.zip.part{n * size if offsets else n + first}", piece)
        for n, piece in enumerate(pieces)
    ]


@pytest.mark.parametrize(("offsets", "first"), [(False, 0), (False, 1), (True, 0)])
def test_parts_are_joined_by_number(
    tmp_path: Path, offsets: bool, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kodata.sources.archives._OFFSETS", 200)
    whole = zipped(books(40))
    files = cut(tmp_path, whole, len(whole) // 12, offsets, first)
    assert len(files) > 10  # part10 comes after part9, not after part1
    found = [i for file in sorted(files) for i in items(file)]
    assert [i.id for i in found if isinstance(i, Record)] == [f"P{n}" for n in range(40)] and len(found) == 40
    assert {p.name for p in parts(files[0], "x/TL.zip.part0", "auto", 1, 0)} == {
        f"x/TL.zip!{n:03}.json" for n in range(40)
    }


@pytest.mark.parametrize("offsets", [False, True])
def test_a_missing_part_is_named(tmp_path: Path, offsets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.sources.archives._OFFSETS", 200)
    whole = zipped(books(20))
    size = len(whole) // 5
    files = cut(tmp_path, whole, size, offsets)
    files.pop(2).unlink()
    found = [i for file in files for i in items(file)]
    assert len(found) == 1 and isinstance(found[0], Failure)
    assert found[0].reason.endswith(f"TL.zip.part{2 * size if offsets else 2}")


def test_a_missing_last_part_is_a_failure(tmp_path: Path) -> None:
    files = cut(tmp_path, zipped(books(20)), 500, False)
    files.pop().unlink()
    assert "마지막 조각" in only_failure(files[0]).reason


def test_parts_beside_the_joined_archive_are_not_read_twice(tmp_path: Path) -> None:
    whole = zipped(books(3))
    files = [*cut(tmp_path, whole, 300, False), put(tmp_path / "TL.zip", whole)]
    assert sum(len(items(file)) for file in files) == 3


def test_parts_joined_in_the_order_of_strings_are_named(tmp_path: Path) -> None:
    members = {f"{n}.json": book(n) + noise(2000) for n in range(30)}
    whole = zipped(members, zipfile.ZIP_STORED)
    size = len(whole) // 12
    pieces = {f"part{n}": whole[i : i + size] for n, i in enumerate(range(0, len(whole), size), 1)}
    wrong = b"".join(pieces[name] for name in sorted(pieces))
    found = items(put(tmp_path / "TL.zip", wrong))
    assert found and any(isinstance(i, Failure) for i in found)


def test_a_single_file_of_the_archive_name_is_a_part_of_one(tmp_path: Path) -> None:
    assert ids(put(tmp_path / "TL.zip.part0", zipped(books(2)))) == ["P0", "P1"]


@given(
    data=st.binary(max_size=300),
    sizes=st.lists(st.integers(1, 40), max_size=10),
    reads=st.lists(st.tuples(st.integers(0, 320), st.integers(0, 60))),
)
def test_joined_reads_like_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, sizes: list[int], reads: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("j")
    (folder / "a").write_bytes(b"xx" + data)
    segments, place = [], 0
    for size in [*sizes, len(data)]:
        size = min(size, len(data) - place)
        if size > 0:
            segments.append(["a", 2 + place, size])
            place += size
    if not segments:
        return
    joined, whole = io.BufferedReader(Joined(str(folder / "b"), segments), 16), io.BytesIO(data)
    for place, count in reads:
        joined.seek(place)
        whole.seek(place)
        assert joined.read(count) == whole.read(count)


# --- archives in archives


@pytest.mark.parametrize("inner", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("outer", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_in_a_zip(tmp_path: Path, inner: int, outer: int) -> None:
    data = zipped(
        {"읽기.txt": RAIN.encode(), "라벨/TL1.zip": zipped(books(3), inner), "z.json": book(9)}, outer
    )
    found = items(put(tmp_path / "데이터.zip", data))
    assert [i.id for i in found if isinstance(i, Record)] == [None, "P0", "P1", "P2", "P9"] and len(
        found
    ) == 5
    assert len(parts(tmp_path / "데이터.zip", "d", "auto", 1, 0)) == (5 if outer == zipfile.ZIP_STORED else 3)
    tasks = list(read_tasks(tmp_path / "데이터.zip"))
    assert [getattr(t, "kind", t) for t in tasks] == ["summary"] * 4


def test_nested_names_and_failures_say_where(tmp_path: Path) -> None:
    inner = zipped(
        {"좋은.json": book(), "나쁜.json": b'{"a": ', "모르는.json": b'{"a": {"b": 1}}', "소리.wav": b"RIFF"}
    )
    found = items(put(tmp_path / "a.zip", zipped({"안.zip": inner})))
    assert [i.place for i in found if isinstance(i, Record)] == ["좋은.json"]
    failures = [i for i in found if isinstance(i, Failure)]
    assert [f.file.partition("!")[2] for f in failures] == [
        "안.zip!나쁜.json",
        "안.zip!모르는.json",
        "안.zip",
    ]
    assert ".wav 1" in failures[2].reason


def test_zips_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = zipped({"a.json": book()})
        for _ in range(6):
            data = zipped({"a.zip": data}, method)
        assert "깊" in only_failure(put(tmp_path / "a.zip", data)).reason


def test_a_tar_with_parts_inside(tmp_path: Path) -> None:
    whole = zipped(books(12))
    third = len(whole) // 3 + 1
    with tarfile.open(tmp_path / "download.tar", "w") as tar:
        for n in (2, 0, 1):
            info = tarfile.TarInfo(f"017.뉴스 데이터/01.데이터/1.Training/라벨링데이터/TL.zip.part{n}")
            info.size = len(whole[n * third : (n + 1) * third])
            tar.addfile(info, io.BytesIO(whole[n * third : (n + 1) * third]))
        info = tarfile.TarInfo("017.뉴스 데이터/01.데이터/2.Validation/라벨링데이터/a.json")
        info.size = len(book(99))
        tar.addfile(info, io.BytesIO(book(99)))
        link = tarfile.TarInfo("../../etc/passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    found = items(tmp_path / "download.tar")
    assert [i.id for i in found if isinstance(i, Record)] == ["P99", *(f"P{n}" for n in range(12))] and len(
        found
    ) == 13
    assert [(r.meta["split"], r.meta["dataset"]) for r in found[:2] if isinstance(r, Record)] == [
        ("valid", "017.뉴스 데이터"), ("train", "017.뉴스 데이터"),
    ]  # fmt: skip
    data = (tmp_path / "download.tar").read_bytes()
    assert "tar를 읽을 수 없음" in only_failure(put(tmp_path / "b.tar", data[:300])).reason


def test_broken_tars(tmp_path: Path) -> None:
    def tar(*names: str) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(book())
                archive.addfile(info, io.BytesIO(book()))
        return out.getvalue()

    found = items(put(tmp_path / "a.tar", tar("TL.zip.part0", "TL.zip.part2", "b.json")))
    assert [i.id if isinstance(i, Record) else i.reason.rpartition(": ")[2] for i in found] == [
        "P1",
        "TL.zip.part1",
    ]
    data = bytearray(tar("a.json", "b.json", "c.json"))
    place = data.find(b"b.json")
    data[place] = 0x7A
    found = items(put(tmp_path / "b.tar", bytes(data)))
    assert [type(i).__name__ for i in found] == ["Record", "Failure"] and "깨짐" in str(found[1])
    assert "빈 tar" in only_failure(put(tmp_path / "c.tar", tar())).reason
    whole = tar("a.json", "b.json", "c.json")
    step = tarfile.BLOCKSIZE + -(-len(book()) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    for cut in (step + 100, step + 512, step + 520):  # in the second header, after it, in the second member
        found = items(put(tmp_path / f"cut{cut}.tar", whole[:cut]))
        assert [type(i).__name__ for i in found] == ["Record", "Failure"] and "깨짐" in str(found[1])


def test_packed_tars_are_read_as_a_stream(tmp_path: Path) -> None:
    members = {
        "가/a.json": book(1), "b.zip": zipped({"b.json": book(2)}), "c.json.gz": gzip.compress(book(3)), "d.png": b"\x89PNG",
        "e.zip.part0": b"PK", "f.zip": b"PK\x03\x04", "g.json": b"",
    }  # fmt: skip
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    tar = out.getvalue()
    for file in (
        put(tmp_path / "a.tar.gz", gzip.compress(tar)),
        put(tmp_path / "b.tgz", gzip.compress(tar)),
        put(tmp_path / "c.zip", zipped({"안.tar": tar})),
    ):
        found = items(file)
        assert [i.id for i in found if isinstance(i, Record)] == ["P1", "P2", "P3"]
        failures = [i for i in found if isinstance(i, Failure)]
        assert [f.place for f in failures] == ["e.zip.part0", "f.zip", "g.json", ""]
        assert all(
            word in f.reason for f, word in zip(failures, ("조각", "zip", "빈 파일", ".png 1"), strict=True)
        )
    packed = gzip.compress(tar)
    found = items(put(tmp_path / "cut.tgz", packed[: len(packed) - 40]))
    assert "끊김" in str(found[-1])
    broken = bytearray(tar)
    broken[tar.find(b"c.json.gz")] = 0x7A  # the checksum of that header no longer holds
    found = items(put(tmp_path / "broken.tgz", gzip.compress(bytes(broken))))
    assert [type(i).__name__ for i in found] == ["Record", "Record", "Failure"] and "깨짐" in str(found[2])
    assert "tar가 아님" in only_failure(put(tmp_path / "no.tgz", gzip.compress(b"x" * 5000))).reason
    assert "빈 tar" in only_failure(put(tmp_path / "empty.tar.gz", gzip.compress(bytes(10240)))).reason


# --- broken and hostile archives


def test_truncated_zip(tmp_path: Path) -> None:
    assert "잘렸거나" in only_failure(put(tmp_path / "a.zip", zipped(books(9))[:-30])).reason


def test_damaged_member_does_not_stop_the_others(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.json": book(1), "b.json": book(2, RAIN * 50), "c.json": book(3)}))
    place = data.find(b"b.json") + 60
    data[place : place + 8] = b"\xff" * 8
    found = items(put(tmp_path / "a.zip", bytes(data)))
    assert [i.id if isinstance(i, Record) else i.file.partition("!")[2] for i in found] == [
        "P1",
        "b.json",
        "P3",
    ]


def test_bombs(tmp_path: Path) -> None:
    assert "너무 큼" in only_failure(put(tmp_path / "a.zip", zipped({"a.json": b" " * 30_000_000}))).reason
    inner = zipped({"a.json": b" " * 30_000_000})
    assert "너무 큼" in only_failure(put(tmp_path / "b.zip", zipped({"b.zip": inner}))).reason
    data = bytearray(zipped({"a.json": book() * 9, "b.json": book() * 9}, zipfile.ZIP_STORED))
    directory = data.find(b"PK\1\2", data.find(b"PK\1\2") + 1)
    data[directory + 42 : directory + 46] = struct.pack("<I", 0)  # both members at the same place
    data = data[: data.find(b"b.json") - 30] + data[data.find(b"PK\1\2") :]
    assert isinstance(items(put(tmp_path / "c.zip", bytes(data)))[0], Failure)


def test_a_nested_zip_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.sources.archives.MAX_NESTED_BYTES", 1000)
    assert (
        "먼저 푸십시오"
        in only_failure(put(tmp_path / "a.zip", zipped({"b.zip": zipped({"a.json": noise(5000)})}))).reason
    )


def test_members_over_the_limit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.sources.archives.MAX_MEMBERS", 3)
    found = items(put(tmp_path / "a.zip", zipped(books(5))))
    assert [type(i).__name__ for i in found] == ["Record"] * 3 + ["Failure"]


def test_names_that_climb_out_stay_names(tmp_path: Path) -> None:
    file = put(tmp_path / "안" / "a.zip", b"") if (tmp_path / "안").mkdir() else tmp_path / "안" / "a.zip"
    put(file, zipped({"../../밖.json": book(1), "/SFTlabel.json": book(2), "C:\\x.json": book(3)}))
    assert ids(file) == ["P1", "P2", "P3"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "안"]


def test_recordings_are_counted_not_named_one_by_one(tmp_path: Path) -> None:
    members = (
        {f"{n}.wav": b"RIFF" for n in range(50)} | {f"{n}.jpg": b"x" for n in range(3)} | {"a.json": book()}
    )
    found = items(put(tmp_path / "a.zip", zipped(members)))
    assert len(found) == 2 and isinstance(found[1], Failure)
    assert "53" in found[1].reason and ".wav 50" in found[1].reason


@pytest.mark.parametrize("name", ["폴더/설문 결과.json", "뷁.json"])
def test_names_in_every_charset(tmp_path: Path, name: str) -> None:
    nfd = unicodedata.normalize("NFD", name)
    for n, data in enumerate(
        (
            zipped({name: book()}, flagless="cp949"),
            zipped({name: book()}, flagless="utf-8"),
            zipped({nfd: book()}),
        )
    ):
        file = put(tmp_path / f"{n}.zip", data)
        assert parts(file, "z", "auto", 1, 0)[0].name == f"z!{name}" and ids(file) == ["P1"]


def test_a_directory_of_many_members_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path / "a.zip", zipped(books(30)))
    whole = parts(file, "a.zip", "auto", 1, 0)
    opened = []
    real = zipfile.ZipFile.__init__
    monkeypatch.setattr(
        zipfile.ZipFile, "__init__", lambda self, *a, **k: (opened.append(1), real(self, *a, **k))[1]
    )
    assert sum(1 for part in whole for _ in read(part, Settings())) == 30
    assert len(opened) == 1


# --- JSON as it comes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "euc-kr", "utf-16"])
def test_charsets(tmp_path: Path, encoding: str) -> None:
    found = items(put(tmp_path / "a.json", book().decode().encode(encoding)))
    assert [i.text for i in found if isinstance(i, Record)] == [RAIN]


def test_json_lines_called_json(tmp_path: Path) -> None:
    rows = [book(1), b'{"passage_id": "P2", "broken', book(3), b""]
    found = items(put(tmp_path / "a.json", b"\xef\xbb\xbf" + b"\r\n".join(rows)))
    assert [(type(i).__name__, i.place) for i in found] == [
        ("Record", "1"),
        ("Failure", "2"),
        ("Record", "3"),
    ]


def test_objects_in_a_row(tmp_path: Path) -> None:
    pretty = json.dumps(BOOK, ensure_ascii=False, indent=2)
    found = items(put(tmp_path / "a.json", f"{pretty}\n{pretty},\n{pretty} {{".encode()))
    assert [(type(i).__name__, i.place) for i in found] == [
        ("Record", "1"),
        ("Record", "2"),
        ("Record", "3"),
        ("Failure", "3+"),
    ]


def test_faults_that_are_mended(tmp_path: Path) -> None:
    text = (
        book()
        .decode()
        .replace('"1장"', "(반사회적용어)")
        .replace(RAIN, "첫 줄\n둘째\t줄, }: 끝")
        .replace("}}", "},}")
    )
    text = text[:-1] + ",\n}"
    [record] = items(put(tmp_path / "a.json", text.encode()))
    assert isinstance(record, Record), record
    assert record.text == "첫 줄\n둘째\t줄, }: 끝" and record.meta["chapter"] == "(반사회적용어)"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
        max_leaves=20,
    )
)
def test_mending_leaves_right_json_alone(value: object) -> None:
    for text in (json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        assert repaired(text) == text
        assert loads(text.encode("utf-8", "surrogatepass")) == value
        assert [v.value for v in values(text.encode("utf-8", "surrogatepass"))] == [value]


def test_mending_is_quick_on_hostile_text() -> None:
    for text in (
        '"' * 200_001,
        "{" * 100_000,
        ":a" * 100_000,
        '{"a": ' + "x" * 300_000,
        "," * 300_000,
        '"\\' * 100_000,
    ):
        repaired(text)
        assert all(v.error for v in values(text.encode()))


def test_a_table_called_json(tmp_path: Path) -> None:
    assert is_table(b"\xef\xbb\xbfid\ttext\n1\t\xea") and not is_table(b'{"a":\t1}') and not is_table(b"")
    found = items(put(tmp_path / "a.json", f"id\t본문\n1\t{RAIN}\n".encode("cp949")))
    assert [i.text for i in found if isinstance(i, Record)] == [RAIN]


def test_deep_nesting_and_nothing(tmp_path: Path) -> None:
    for data in (
        b'{"a":' * 100_000,
        b"[" * 1_000_000,
        b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"",
        b"   ",
        b"\0" * 100,
        b"null",
        b"3",
    ):
        assert isinstance(only_failure(put(tmp_path / "a.json", data)), Failure)


@pytest.mark.parametrize(
    "item",
    [
        {**BOOK, "passage": {"a": 1}},
        {**BOOK, "passage": [1]},
        {**BOOK, "passage": None},
        {**BOOK, "passage": "  "},
        "글",
        3,
        None,
        [],
    ],
)
def test_wrong_types_are_named_and_the_others_read(tmp_path: Path, item: object) -> None:
    found = items(put(tmp_path / "a.json", json.dumps([BOOK, item, BOOK]).encode()))
    assert [(type(i).__name__, i.place) for i in found] == [
        ("Record", "1"),
        ("Failure", "2"),
        ("Record", "3"),
    ] or item is None
    assert sum(isinstance(i, Record) for i in found) == 2


def test_wrong_types_inside_dialogues_and_questions(tmp_path: Path) -> None:
    data = {"data": [
        {"paragraphs": [{"context": RAIN, "qas": "없음"}]}, {"paragraphs": [{"context": RAIN, "qas": [{"question": "왜?", "answers": 3}]}]},
        {"paragraphs": [{"context": RAIN, "qas": [{"question": "왜?", "answers": [{"text": "비"}]}]}]},
    ]}  # fmt: skip
    found = items(put(tmp_path / "a.json", json.dumps(data).encode()))
    assert [type(i).__name__ for i in found].count("Failure") == 2 and [
        i.text for i in found if isinstance(i, Record)
    ] == [RAIN] * 3
    talk = {
        "info": {"topic": "x"},
        "utterances": [
            {"speaker": 1, "text": "안녕"},
            "글",
            {"speaker": {"id": 2}, "text": "응"},
            {"speaker": 1},
        ],
    }
    [record] = items(put(tmp_path / "b.json", json.dumps(talk).encode()))
    assert isinstance(record, Record) and record.text == "A: 안녕\nB: 응"


def test_unknown_layouts_in_a_tree_are_named_with_their_keys(tmp_path: Path) -> None:
    folder = tmp_path / "999.새 데이터/01.데이터/1.Training/라벨링데이터"
    folder.mkdir(parents=True)
    data = json.dumps(
        {"meta": {"id": 1}, "data": [{"text": RAIN, "새열쇠": [{"x": 1}]}]}, ensure_ascii=False
    ).encode()
    put(folder / "TL1.zip", zipped({"a.json": data, "b.csv": "새칸,text\n1,글\n".encode()}))
    failures = items(folder / "TL1.zip")
    assert len(failures) == 2 and all(isinstance(f, Failure) for f in failures)
    assert "새열쇠" in failures[0].reason and "새칸" in failures[1].reason  # type: ignore[union-attr]
    outside = items(put(tmp_path / "a.json", data))  # not a delivery: a table of texts is read as ever
    assert [i.text for i in outside if isinstance(i, Record)] == [RAIN]


def test_analysed_sentences_in_text_files(tmp_path: Path) -> None:
    text = (
        "# sent_id = 1\n# text = 비가 왔다.\n1\t비가\t비/NNG\t2\n2\t왔다.\t오/VV\t0\n\n"
        "## s-2\t길이 잠겼다.\n1\t길이\t길/NNG\t2\n2\t잠겼다.\t잠기/VV\t0\n\n"
        "# 3\n1\t떡을\t떡/NNG\t2\n2\t쪘다.\t찌/VV\t0\n"
    )
    [record] = items(put(tmp_path / "a.txt", text.encode("cp949")))
    assert isinstance(record, Record)
    assert record.text == "비가 왔다.\n길이 잠겼다.\n떡을 쪘다." and record.meta["layout"] == "aihub.conll"
    plain = "# 제목\n\n1\t가\t나\n글이다.\n본문은 길다.\n"
    assert [i.text for i in items(put(tmp_path / "b.txt", plain.encode())) if isinstance(i, Record)] == [
        plain
    ]


# --- large files


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(-(2**63), 2**63) | st.lists(st.text(max_size=3), max_size=3), max_size=4).map(lambda d: {"id": 1, **d}), min_size=1, max_size=8),
    head=st.sampled_from([None, {}, {"name": "가[{\"}", "n": [1, 2], "o": {"p": [], "q": "]"}}]), step=st.integers(1, 40), indent=st.sampled_from([None, 1]),
)  # fmt: skip
def test_items_of_a_long_list_one_by_one(
    rows: list[dict[str, object]], head: dict[str, object] | None, step: int, indent: int | None
) -> None:
    root = rows if head is None else {**head, "data": rows, "tail": {"a": [1]}}
    data = json.dumps(root, ensure_ascii=False, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kodata.sources.aihub.bulk.STEP", step)
        bulk = Bulk(data[:5], io.BytesIO(data[5:]))  # type: ignore[arg-type]
        assert bulk.found
        assert [item.value for item in bulk.items()] == rows
        assert bulk.skeleton(1) == ([1] if head is None else {**head, "data": [1]})


def test_large_json_lines_called_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\xef\xbb\xbf" + b"\n".join([book(1), b'{"broken', book(3, RAIN * 99), b"", book(5)])
    small = items(put(tmp_path / "a.json", data))
    monkeypatch.setattr("kodata.sources.aihub.reader.WHOLE_BYTES", 1000)
    monkeypatch.setattr("kodata.sources.aihub.bulk.STEP", 64)
    assert items(tmp_path / "a.json") == small
    assert [(type(i).__name__, i.place) for i in small] == [
        ("Record", "1"),
        ("Failure", "2"),
        ("Record", "3"),
        ("Record", "5"),
    ]
    monkeypatch.setattr("kodata.sources.aihub.bulk.MAX_ITEM_BYTES", 3000)
    assert [(type(i).__name__, i.place) for i in items(tmp_path / "a.json")] == [
        ("Record", "1"), ("Failure", "2"), ("Failure", "3"), ("Record", "5"),
    ]  # fmt: skip


def test_a_cut_large_file_gives_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kodata.sources.aihub.reader.WHOLE_BYTES", 100)
    data = json.dumps(
        {"data": [{"id": n, "book_id": 1, "text": f"{RAIN} {n}"} for n in range(50)]}, ensure_ascii=False
    ).encode()
    found = items(put(tmp_path / "a.json", data[: len(data) // 2]))
    assert len(found) > 20 and isinstance(found[-1], Failure) and "끊김" in found[-1].reason
    assert sum(isinstance(i, Failure) for i in found) == 1
    assert [i.id for i in found[:-1] if isinstance(i, Record)] == [str(n) for n in range(len(found) - 1)]


def test_a_broken_or_huge_item_of_a_large_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kodata.sources.aihub.reader.WHOLE_BYTES", 100)
    monkeypatch.setattr("kodata.sources.aihub.bulk.MAX_ITEM_BYTES", 5000)
    monkeypatch.setattr("kodata.sources.aihub.bulk.STEP", 512)
    rows = [json.dumps({"id": n, "book_id": 1, "text": RAIN}, ensure_ascii=False) for n in range(4)]
    rows[1] = '{"id": 1, "book_id" 1, "text": "x"}'
    rows[2] = json.dumps({"id": 2, "book_id": 1, "text": [RAIN] * 500}, ensure_ascii=False)
    found = items(put(tmp_path / "a.json", f'{{"data": [{", ".join(rows)}]}}'.encode()))
    assert [(type(i).__name__, i.place) for i in found] == [
        ("Record", "1"),
        ("Failure", "2"),
        ("Failure", "3"),
        ("Record", "4"),
    ]


def test_memory_stays_flat_on_a_large_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr("kodata.sources.aihub.reader.WHOLE_BYTES", 1 << 20)
    row = json.dumps({"id": 1, "book_id": 1, "text": RAIN * 20}, ensure_ascii=False)
    file = put(tmp_path / "a.json", f'{{"data": [{", ".join([row] * 6000)}]}}'.encode())
    assert file.stat().st_size > 7_000_000
    [part] = parts(file, "a.json", "auto", 1, 0)
    tracemalloc.start()
    assert sum(1 for _ in read(part, Settings())) == 6000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


# --- names and marks


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/d/017.뉴스 기사 기계독해 데이터/01.데이터/1.Training/라벨링데이터/TL_x.zip/a.json", Provenance("017.뉴스 기사 기계독해 데이터", "train", "label", True)),
        ("/d/121.한국어/01-1.정식개방데이터/Validation/01.원천데이터/VS_01.zip//a.json", Provenance("121.한국어", "valid", "source", True)),
        ("/d/한국어 SNS/Training/[라벨]한국어SNS_train.zip/a.json", Provenance("한국어 SNS", "train", "label", True)),
        ("/d/030.웹/01.데이터/1.Training_220728_add/라벨링데이터/TL1.zip/a.json", Provenance("030.웹", "train", "label", True)),
        ("/d/문서요약/신문기사_train_original.json", Provenance("", "train", "", False)),
        ("/d/TS1.zip!TS1/a.json", Provenance("", "train", "source", False)),
        ("/home/test_user/pytest-1/x.json", Provenance()),
        (unicodedata.normalize("NFD", "/d/016.행정/2.Validation/원천데이터/a.json"), Provenance("016.행정", "valid", "source", True)),
    ],
)  # fmt: skip
def test_what_a_path_says(path: str, found: Provenance) -> None:
    assert provenance(path) == found


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("&name1&가 &tel-num2&로 전화했어", "[이름]가 [전화번호]로 전화했어"),
        ("#@이름#아 #@URL# 봐 #@시스템#사진#", "[이름]아 [웹주소] 봐"),
        ("R&D와 AT&T, A&B 그리고 &amp;", "R&D와 AT&T, A&B 그리고 &amp;"),
        ("#오늘 #날씨@집", "#오늘 #날씨@집"),
    ],
)
def test_anonymised_places(raw: str, clean: str) -> None:
    assert unmasked(raw) == clean == unmasked(clean)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("(70%)/(칠십 퍼센트) 올랐고", "70% 올랐고"),
        ("b/ 그 {laughing} 그래서 n/ 갔어", "그 그래서 갔어"),
        ("아/ 그+ 그게* 뭐더라", "아 그 그게 뭐더라"),
        ("((아마)) 그랬을 ((xx)) 거야", "아마 그랬을 거야"),
        ("name1 씨와 company-name2에 갔어", "[이름] 씨와 [회사]에 갔어"),
        ("and/or 3/4 1+1은 2*1 {가나다}", "and/or 3/4 1+1은 2*1 {가나다}"),
        ("filename1 username12", "filename1 username12"),
    ],
)
def test_marks_of_transcripts(raw: str, clean: str) -> None:
    assert spoken(raw) == clean == spoken(clean)
