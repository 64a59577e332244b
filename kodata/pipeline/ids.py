"""Ids must be unique in a corpus: the second and later documents of an id get `~2`, `~3`, … in corpus order.

Each unit leaves 8 bytes a kept document; they are compared in slices of the hash space, so that memory does not grow
with the corpus. The renames are fixed in a file before any shard is rewritten: repeating the work changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kodata.doc import Document, read_shard, write_shard
from kodata.run.files import atomic_json, read_json_object

SLICE_HASHES = 4_000_000


def _duplicates(files: list[Path]) -> Iterator[tuple[int, int, int]]:
    """(unit, place in unit, occurrence from 2) of every kept document whose id hash was seen before."""
    import numpy as np

    hashes = (
        [np.fromfile(file, dtype=">u8") for file in files]
        if sum(f.stat().st_size for f in files) < 8 * SLICE_HASHES
        else None
    )
    total = sum(f.stat().st_size for f in files) // 8
    slices = max(1, -(-total // SLICE_HASHES))
    for part in range(slices):
        keys, units, places = [], [], []
        for unit, file in enumerate(files):
            values = (
                hashes[unit]
                if hashes is not None
                else np.memmap(file, dtype=">u8", mode="r")
                if file.stat().st_size
                else np.empty(0, ">u8")
            )
            at = np.flatnonzero(values % slices == part) if slices > 1 else np.arange(len(values))
            keys.append(np.asarray(values[at], dtype=np.uint64))
            units.append(np.full(len(at), unit, dtype=np.int32))
            places.append(at.astype(np.int64))
        key, unit_of, place = np.concatenate(keys), np.concatenate(units), np.concatenate(places)
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        same = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        occurrence, last = 1, -1
        for i in same.tolist():
            occurrence = occurrence + 1 if i == last + 1 else 2
            last = i
            yield int(unit_of[order[i]]), int(place[order[i]]), occurrence


def disambiguate(folder: Path, units: int) -> int:
    """Make the ids of docs/ unique; the number of renamed documents."""
    note = folder / "work" / "renames.json"
    if note.exists():
        renames = read_json_object(note)
    else:
        found: dict[int, dict[int, int]] = {}
        for unit, place, occurrence in _duplicates(
            [folder / "work" / "ids" / f"{i:05d}.bin" for i in range(units)]
        ):
            found.setdefault(unit, {})[place] = occurrence
        renames = {}
        for unit in sorted(found):
            shard = folder / "docs" / f"{unit:05d}.jsonl.zst"
            wanted = found[unit]
            renames[str(unit)] = {
                str(place): f"{document.id}~{wanted[place]}"
                for place, document in enumerate(read_shard(shard))
                if place in wanted
            }
        atomic_json(note, renames)
    for number, names in renames.items():
        shard = folder / "docs" / f"{int(number):05d}.jsonl.zst"
        _rewrite(shard, {int(place): name for place, name in names.items()})
    return sum(len(names) for names in renames.values())


def _rewrite(shard: Path, names: dict[int, str]) -> None:
    with write_shard(shard) as out:
        for place, document in enumerate(read_shard(shard)):
            if place in names:
                document = Document(names[place], document.text, document.source, document.meta)
            out.write(document)
