"""Unique ids: numbers that are free, the same names in docs/ and pii/, whatever was done before a kill."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kodata.doc import Document, read_records, read_shard, write_shard
from kodata.pii import TAGS
from kodata.pipeline import ids
from kodata.pipeline.ids import disambiguate

TAG = TAGS["phone"]


def run_folder(folder: Path, units: list[list[tuple[str, bool]]]) -> Path:
    """What units leave: docs/, pii/ and the id hashes of (id, has personal data) documents."""
    (folder / "work" / "ids").mkdir(parents=True)
    for unit, documents in enumerate(units):
        name = f"{unit:05d}"
        with write_shard(folder / "docs" / f"{name}.jsonl.zst") as out:
            for place, (id, personal) in enumerate(documents):
                out.write(Document(id, f"{unit} {place} {TAG if personal else '글'}", "가", {}))
        found = [
            {
                "id": id,
                "in": "docs",
                "n": place,
                "found": [["phone", len(f"{unit} {place} "), len(f"{unit} {place} {TAG}")]],
            }
            for place, (id, personal) in enumerate(documents)
            if personal
        ]
        with write_shard(folder / "pii" / f"{name}.jsonl.zst") as out:
            for entry in found:
                out.write({**entry, "in": "dropped"})  # a dropped document of the same id keeps it
                out.write(entry)
        hashes = b"".join(ids._hash(id).to_bytes(8, "big") for id, _ in documents)
        (folder / "work" / "ids" / f"{name}.bin").write_bytes(hashes)
    return folder


def names(folder: Path) -> list[str]:
    return [d.id for f in sorted((folder / "docs").glob("*")) for d in read_shard(f)]


def entries(folder: Path, kept: bool = True) -> list[str]:
    shards = sorted((folder / "pii").glob("*"))
    return [r["id"] for f in shards for _, r in read_records(f) if (r["in"] == "docs") == kept]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_name_that_exists_takes_the_next_number(tmp_path):
    folder = run_folder(
        tmp_path / "r", [[(i, False) for i in ("a", "a", "a~2")], [(i, False) for i in ("a", "a~2", "a~4")]]
    )
    assert disambiguate(folder, 2) == 3
    assert names(folder) == ["a", "a~3", "a~2", "a~5", "a~2~2", "a~4"]


def test_personal_data_entries_are_renamed_with_their_documents(tmp_path):
    folder = run_folder(
        tmp_path / "r",
        [[("a", True), ("b", True), ("a", False), ("a", True)], [("a", False), ("a", True), ("b", True)]],
    )
    disambiguate(folder, 2)
    assert names(folder) == ["a", "b", "a~2", "a~3", "a~4", "a~5", "b~2"]
    assert entries(folder) == ["a", "b", "a~3", "a~5", "b~2"]
    assert entries(folder, kept=False) == ["a", "b", "a", "a", "b"]


@pytest.mark.parametrize("written", range(5))
def test_killed_between_any_two_files_and_resumed(tmp_path, monkeypatch, written):
    units = [[("a", True), ("a", True), ("b", False)], [("a", True), ("b", True), ("a~2", True)]]
    whole = run_folder(tmp_path / "whole", units)
    disambiguate(whole, 2)
    cut = run_folder(tmp_path / "cut", units)
    with monkeypatch.context() as patched:
        left = iter(range(written))
        real = os.replace

        def killed(*args, **more):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(*args, **more)

        patched.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            disambiguate(cut, 2)
    disambiguate(cut, 2)
    disambiguate(cut, 2)
    assert files(cut) == files(whole)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "b", "a~2", "a~3", "a~2~2"]), st.booleans()), max_size=8),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([1, 3, 4_000_000]),
)
def test_ids_become_unique(tmp_path_factory, units, slice_hashes):
    folder = run_folder(tmp_path_factory.mktemp("r") / "r", units)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ids, "SLICE_HASHES", slice_hashes)
        renamed = disambiguate(folder, len(units))
    before = [d for unit in units for d in unit]
    after = names(folder)
    assert len(set(after)) == len(after) == len(before)
    assert sum(old != new for (old, _), new in zip(before, after, strict=True)) == renamed
    assert renamed == sum(n - 1 for n in Counter(id for id, _ in before).values())
    assert entries(folder) == [new for (_, personal), new in zip(before, after, strict=True) if personal]
