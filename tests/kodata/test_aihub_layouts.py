"""Every layout: recognised by its keys alone, its texts are documents, its tasks are task items, nothing is glued or lost."""

import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kodata.sources import Failure, Record, Settings, parts, read
from kodata.sources.aihub import (
    LAYOUTS,
    MATERIAL,
    TaskItem,
    UnknownLayout,
    layout_of,
    tasks_of,
)
from kodata.sources.aihub.layout import Detector
from kodata.sources.task_files import is_aihub, read_tasks, read_tasks_many
from tests.kodata.aihub_layouts import ASK, CASES, RAIN, REPLY, ROAD, Case, zipped

NAMES = [case.name for case in CASES]


def items(path: Path, settings: Settings | None = None) -> list[Record | Failure]:
    return [
        item
        for part in parts(path, path.name, "auto", 1 << 20, 0)
        for item in read(part, settings or Settings())
    ]


def dumped(case: Case) -> bytes:
    return (
        case.root if isinstance(case.root, str) else json.dumps(case.root, ensure_ascii=False, indent=1)
    ).encode()


def delivered(case: Case, folder: Path) -> Path:
    """The file under a name that says nothing."""
    tab = case.table and "\t" in case.root
    file = folder / ("x.csv" if case.table and not tab else "x.json")
    file.write_bytes(dumped(case))
    return file


def check(case: Case, found: list[Record | Failure]) -> None:
    assert not [i for i in found if isinstance(i, Failure)], found
    records = [i for i in found if isinstance(i, Record)]
    assert [r.text for r in records if not r.drop] == case.texts
    assert all(r.meta["layout"] == case.layout for r in records)
    for name, value in case.meta.items():
        assert records[0].meta[name] == value, name
    places = [(r.place, r.id) for r in records]
    assert len(set(places)) == len(places)
    if not case.texts:
        assert records and all(r.drop == MATERIAL for r in records)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_documents(case: Case, tmp_path: Path) -> None:
    check(case, items(delivered(case, tmp_path)))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_tasks(case: Case, tmp_path: Path) -> None:
    path = delivered(case, tmp_path)
    found = list(read_tasks(path))
    assert all(isinstance(item, TaskItem) for item in found), found
    assert [item.kind for item in found if isinstance(item, TaskItem)] == [kind for kind, _ in case.tasks]
    for item, (_, fields) in zip(found, case.tasks, strict=True):
        assert isinstance(item, TaskItem)
        assert {name: item.fields[name] for name in fields} == fields
        assert item.meta["layout"] == case.layout and item.file == str(path)
    if not case.table:
        assert [(i.kind, i.fields) for i in tasks_of(case.root) if i.kind not in ("question", "answer")] == [
            (i.kind, i.fields)
            for i in found
            if isinstance(i, TaskItem) and i.kind not in ("question", "answer")
        ]
    assert is_aihub(path)


def test_every_layout_has_a_case() -> None:
    assert {layout.name for layout in LAYOUTS} == {case.layout for case in CASES}


@pytest.mark.parametrize(
    "case", [c for c in CASES if not c.table], ids=[c.name for c in CASES if not c.table]
)
def test_only_one_layout_fits(case: Case) -> None:
    """The order of the registry decides nothing: each layout alone takes its own files and no others."""
    fitting = {layout.name for layout in LAYOUTS if Detector((layout,)).find(case.root)}
    assert fitting == {case.layout}


def test_generic_records_are_no_layout() -> None:
    for root in (
        {"text": "글"}, [{"title": "제목", "content": "글"}], {"data": [{"title": "제목", "text": "글"}]}, {"messages": []},
        {"instruction": "a", "input": "", "output": "b"}, {"question": "a", "answer": "b"}, {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"id": "1", "question": "a", "response": "b"}, {"conversations": [{"from": "human", "value": "a"}]}, [], {}, "글", 3, None,
    ):  # fmt: skip
        assert layout_of(root) is None
    with pytest.raises(UnknownLayout, match="낱말"):
        list(tasks_of({"낱말": [{"뜻": 1}]}))


def tree(folder: Path, case: Case, split: str, side: str, archive: str) -> Path:
    file = folder / f"021.시험 데이터/01.데이터/{split}/{side}/{archive}"
    file.parent.mkdir(parents=True, exist_ok=True)
    suffix = ".csv" if case.table and "\t" not in case.root else ".json"
    file.write_bytes(zipped({f"{archive[:-4]}/시험{suffix}": dumped(case)}, flagless="cp949"))
    return file


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_in_a_delivered_tree(case: Case, tmp_path: Path) -> None:
    found = items(tree(tmp_path, case, "2.Validation", "라벨링데이터", "VL1.zip"))
    check(case, found)
    for record in found:
        assert isinstance(record, Record)
        assert (record.meta["split"], record.meta["dataset"]) == ("valid", "021.시험 데이터")
        assert record.source == "021.시험 데이터" and "licence" in record.meta


@pytest.mark.parametrize(
    "name", ["97", "71748 SFT", "NWRW news", "018 emotion", "022 calls", "018 papers", "153", "NWRW news"]
)
def test_a_large_file_gives_the_same_item_by_item(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(c for c in CASES if c.name == name)
    whole = items(delivered(case, tmp_path))
    monkeypatch.setattr("kodata.sources.aihub.reader.WHOLE_BYTES", 16)
    monkeypatch.setattr("kodata.sources.aihub.bulk.STEP", 7)
    piecemeal = items(delivered(case, tmp_path))
    if name == "153":  # its list is inside one item: a file of this kind is never large
        assert isinstance(piecemeal[0], Failure)
        return
    assert [(r.text, r.id, r.meta) for r in piecemeal if isinstance(r, Record)] == [
        (r.text, r.id, r.meta) for r in whole if isinstance(r, Record)
    ]
    assert not any(isinstance(r, Failure) for r in piecemeal)


def test_licence_kind_and_source_of_the_user_win(tmp_path: Path) -> None:
    case = next(c for c in CASES if c.name == "97")
    record = items(delivered(case, tmp_path), Settings(licence="자체", kind="web", source="우리"))[0]
    assert isinstance(record, Record)
    assert (record.meta["licence"], record.meta["kind"], record.source) == ("자체", "web", "우리")


def test_squad_files_of_others_get_no_licence(tmp_path: Path) -> None:
    record = items(delivered(next(c for c in CASES if c.layout == "aihub.reading"), tmp_path))[0]
    assert isinstance(record, Record) and "licence" not in record.meta


def test_text_field_switches_layouts_off(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"title": "다리법", "paragraph": RAIN, "gen_summary": ROAD}), encoding="utf-8")
    record = items(file, Settings(text_field="gen_summary"))[0]
    assert isinstance(record, Record) and record.text == ROAD and "layout" not in record.meta


def test_questions_and_answers_of_different_archives_are_joined(tmp_path: Path) -> None:
    def half(side: str, n: int, key: str) -> dict[str, Any]:
        own = (
            {"question": f"{ASK} {n}"}
            if side == "Q"
            else {"answer": {"intro": f"{REPLY} {n}", "body": "", "conclusion": ""}}
        )
        return {
            "fileName": f"HC-{side}-{n}",
            "disease_category": "c",
            "disease_name": {"kor": key},
            "intention": "i",
            **own,
        }

    for side, count, keys in (("Q", 3, ["가", "나"]), ("A", 2, ["가", "다"])):
        members = {f"{k}/{n}.json": json.dumps(half(side, n, k)).encode() for k in keys for n in range(count)}
        (tmp_path / f"{side}.zip").write_bytes(zipped(members))
    found = [i for i in read_tasks_many([tmp_path / "Q.zip", tmp_path / "A.zip"]) if isinstance(i, TaskItem)]
    joined = [(i.fields["prompt"], i.fields["answer"]) for i in found if i.kind == "instruction"]
    assert joined == [(f"{ASK} {n}", f"{REPLY} {n % 2}") for n in range(3)]
    assert [i.kind for i in found if i.kind != "instruction"] == ["question"] * 3 + ["answer"] * 2


def test_sheets_of_a_workbook(tmp_path: Path) -> None:
    from datetime import datetime

    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.append(["SID", "날짜", "원문", "번역문"])
    sheet.append([1, datetime(2020, 1, 2), "어제 비가 왔다.", "It rained."])
    sheet.append([None, None, None, None])
    sheet.append([2, None, "길이 잠겼다.", None])
    data = io.BytesIO()
    book.save(data)
    (tmp_path / "a.xlsx").write_bytes(data.getvalue())
    found = items(tmp_path / "a.xlsx")
    assert [(r.text, r.id, r.place) for r in found if isinstance(r, Record)] == [
        ("어제 비가 왔다.", "1", "Sheet!2"), ("길이 잠겼다.", "2", "Sheet!4"),
    ]  # fmt: skip
    assert found[0].meta["date"].startswith("2020-01-02")  # type: ignore[union-attr]
    assert [i.kind for i in read_tasks(tmp_path / "a.xlsx") if isinstance(i, TaskItem)] == ["translation"]


def test_clean_sets_chat_material_aside(tmp_path: Path) -> None:
    from kodata import clean
    from kodata.doc import read_records

    for n, name in enumerate(("71748 SFT", "NWRW news")):
        tree(
            tmp_path / "in",
            next(c for c in CASES if c.name == name),
            "1.Training",
            "라벨링데이터",
            f"TL_{n}.zip",
        )
    result = clean([str(tmp_path / "in")], output=tmp_path / "out", workers=1)
    assert (result.summary["in"], result.summary["kept"], result.summary["dropped"]) == (2, 1, 1)
    [dropped] = [r for f in (tmp_path / "out/dropped").iterdir() for _, r in read_records(f)]
    assert dropped["drop"]["reason"] == MATERIAL and ASK in dropped["text"] and REPLY in dropped["text"]


def test_real_samples(real_data: Path) -> None:
    seen: dict[str, int] = {}
    for file in sorted((real_data / "aihub_samples" / "made_in_schema").rglob("*")):
        if not file.is_file():
            continue
        for item in items(file):
            assert isinstance(item, Record), item
            seen[item.meta["layout"]] = seen.get(item.meta["layout"], 0) + 1
            if "AIHUB_TREE" in str(file):
                assert item.meta["split"] == ("valid" if "Validation" in str(file) else "train")
            assert "{" not in item.text[:1] and len(item.text) > 20
    assert seen == {
        "aihub.news_raw": 40,
        "aihub.news_labels": 20,
        "aihub.dialect": 1,
        "nikl.spoken": 1,
        "nikl.written": 25,
    }
    turns = next(
        iter(read_tasks(real_data / "aihub_samples/made_in_schema/NIKL_MESSENGER/MDRW1900000002.json"))
    )
    raw = json.loads(
        (real_data / "aihub_samples/made_in_schema/NIKL_MESSENGER/MDRW1900000002.json").read_text()
    )
    assert isinstance(turns, TaskItem)
    assert [t["text"] for t in turns.fields["turns"]] == [
        u["original_form"].strip() for u in raw["document"][0]["utterance"]
    ]


def test_names_of_members_are_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"폴더/글.json": b"{}"}, flagless="cp949"))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.infolist()[0].filename != "폴더/글.json"
    assert parts(tmp_path / "a.zip", "a.zip", "auto", 1, 0)[0].name == "a.zip!폴더/글.json"


def mutated(value: Any, rng: random.Random, chance: float) -> Any:
    """The same with some values replaced by what they should not be."""
    if rng.random() < chance:
        return rng.choice(
            [None, 3, -1.5, True, "", "글", [], {}, [[]], [None], {"a": 1}, ["글", 3], {"id": {"id": []}}]
        )
    if isinstance(value, dict):
        return {k: mutated(v, rng, chance) for k, v in value.items() if rng.random() > chance / 3}
    if isinstance(value, list):
        return [mutated(v, rng, chance) for v in value]
    return value


@pytest.mark.parametrize(
    "case", [c for c in CASES if not c.table], ids=[c.name for c in CASES if not c.table]
)
def test_wrong_values_anywhere_are_failures_or_left_out_never_errors(case: Case, tmp_path: Path) -> None:
    rng = random.Random(case.name)
    for _ in range(25):
        root = mutated(case.root, rng, rng.choice([0.03, 0.1, 0.3]))
        (tmp_path / "x.json").write_text(json.dumps(root, ensure_ascii=False), encoding="utf-8")
        for item in [*items(tmp_path / "x.json"), *read_tasks(tmp_path / "x.json")]:
            assert isinstance(item, Record | Failure | TaskItem)
            if isinstance(item, Record):
                assert isinstance(item.text, str) and (item.id is None or isinstance(item.id, str))
            json.dumps(
                item.fields if isinstance(item, TaskItem) else item.meta if isinstance(item, Record) else {}
            )


@pytest.mark.parametrize("case", CASES[::4], ids=NAMES[::4])
def test_damaged_bytes_are_failures_never_errors(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(case.name)
    whole = dumped(case)
    for n in range(30):
        monkeypatch.setattr("kodata.sources.aihub.reader.WHOLE_BYTES", 64 if n % 2 else 1 << 20)
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(data))
            data[place : place + rng.choice([0, 1, 5, 60])] = rng.choice(
                [b"", b"\xff", b'"', b"}", b"[", b"\\", b",", b"\0", b"\n"]
            )
        for name in ("x.json", "x.zip"):
            (tmp_path / name).write_bytes(
                bytes(data) if name == "x.json" else bytes(data) + zipped({"a.json": bytes(data)})
            )
            assert all(isinstance(item, Record | Failure) for item in items(tmp_path / name))


@pytest.mark.slow
def test_a_whole_delivery_is_the_same_with_one_worker_and_two(tmp_path: Path) -> None:
    from kodata import clean

    for n, case in enumerate(CASES):
        file = tree(
            tmp_path / f"in/{n:02}",
            case,
            "1.Training" if n % 2 else "2.Validation",
            "라벨링데이터",
            f"TL_{n}.zip",
        )
        if n % 3 == 0:  # as the downloader leaves it
            data = file.read_bytes()
            for k in range(3):
                file.with_name(f"{file.name}.part{k}").write_bytes(
                    data[k * len(data) // 3 : (k + 1) * len(data) // 3]
                )
            file.unlink()
        elif n % 3 == 1:  # a zip in a zip
            data = file.read_bytes()
            file.write_bytes(
                zipped({file.name: data, "손상.zip": data[:-9], "새것.json": b'{"a": {"b": 1}}'})
            )
    sums = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        result = clean([str(tmp_path / "in")], output=out, workers=workers).summary
        assert result["in"] == result["kept"] + result["dropped"] + result["failed"]
        assert result["failed"] == 2 * sum(n % 3 == 1 for n in range(len(CASES)))
        files = [*sorted(out.glob("docs/*")), *sorted(out.glob("dropped/*")), out / "failed.jsonl"]
        sums.append([f.read_bytes() for f in files])
    assert sums[0] == sums[1]
