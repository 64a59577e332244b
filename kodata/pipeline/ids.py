"""Ids must be unique in a corpus: the second and later documents of an id get `~2`, `~3`, … in corpus order.

A number that would give the id of another document is passed over. The entries in pii/ and trimmed/ get the new ids too. Each output
(docs/, docs-en/, …) is a corpus of its own.

Each unit leaves 8 bytes a kept document; they are compared in slices of the hash space, so that memory does not grow
with the corpus. The renames are fixed in a file before any shard is rewritten: repeating the work changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from kodata.doc import Document, read_records, read_shard, write_shard
from kodata.run.files import atomic_json, read_json_object

SLICE_HASHES = 4_000_000


def _hashes(file: Path) -> Any:
    import numpy as np

    return np.memmap(file, dtype=">u8", mode="r") if file.stat().st_size else np.empty(0, ">u8")


def _duplicates(files: list[Path]) -> Iterator[tuple[int, int]]:
    """(unit, place in unit) of every kept document whose id hash was seen before."""
    import numpy as np

    total = sum(f.stat().st_size for f in files) // 8
    slices = max(1, -(-total // SLICE_HASHES))
    hashes = [np.fromfile(file, dtype=">u8") for file in files] if slices == 1 else None
    for part in range(slices):
        keys, units, places = [], [], []
        for unit, file in enumerate(files):
            values = hashes[unit] if hashes is not None else _hashes(file)
            at = np.flatnonzero(values % slices == part) if slices > 1 else np.arange(len(values))
            keys.append(np.asarray(values[at], dtype=np.uint64))
            units.append(np.full(len(at), unit, dtype=np.int32))
            places.append(at.astype(np.int64))
        key, unit_of, place = np.concatenate(keys), np.concatenate(units), np.concatenate(places)
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        for i in (np.flatnonzero(ordered[1:] == ordered[:-1]) + 1).tolist():
            yield int(unit_of[order[i]]), int(place[order[i]])


def _free_names(files: list[Path], wanted: Counter[str]) -> dict[str, Iterator[str]]:
    """For each id as many names `id~n`, n from 2 up, as are wanted and as no document of the run has."""
    free: dict[str, list[str]] = {id: [] for id in wanted}
    tried = dict.fromkeys(wanted, 1)
    missing = dict(wanted)
    while missing:
        asked = {
            id: [f"{id}~{n}" for n in range(tried[id] + 1, tried[id] + 1 + count)]
            for id, count in missing.items()
        }
        taken = _present(files, (name for names in asked.values() for name in names))
        for id, names in asked.items():
            tried[id] += len(names)
            free[id] += [name for name in names if _hash(name) not in taken]
        missing = {id: wanted[id] - len(names) for id, names in free.items() if len(names) < wanted[id]}
    return {id: iter(names) for id, names in free.items()}


def _present(files: list[Path], names: Iterable[str]) -> set[int]:
    """Hashes of those names that are ids of documents."""
    import numpy as np

    asked = np.unique(np.fromiter(map(_hash, names), dtype=np.uint64))
    found: set[int] = set()
    for file in files:
        values = _hashes(file)
        for start in range(0, len(values), SLICE_HASHES):
            some = np.asarray(values[start : start + SLICE_HASHES], dtype=np.uint64)
            found.update(asked[np.isin(asked, some)].tolist())
    return found


def _hash(id: str) -> int:
    """As `kodata.pipeline.unit` hashes the ids of kept documents."""
    return int.from_bytes(blake2b(id.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _renames(folder: Path, units: int, name: str) -> dict[str, dict[str, str]]:
    """unit -> place -> new id."""
    ids_folder = folder / "work" / f"ids{name.removeprefix('docs')}"
    present = [i for i in range(units) if (ids_folder / f"{i:05d}.bin").exists()]
    files = [ids_folder / f"{i:05d}.bin" for i in present]
    if not files:
        return {}
    found: dict[int, set[int]] = {}
    for number, place in _duplicates(files):
        found.setdefault(present[number], set()).add(place)
    ids = [
        (unit, place, document.id)
        for unit in sorted(found)
        for place, document in enumerate(read_shard(_shard(folder, name, unit)))
        if place in found[unit]
    ]
    free = _free_names(files, Counter(id for _, _, id in ids))
    renames: dict[str, dict[str, str]] = {}
    for unit, place, id in ids:
        renames.setdefault(str(unit), {})[str(place)] = next(free[id])
    return renames


def disambiguate(folder: Path, units: int) -> int:
    """Make the ids of docs/, and of each docs-xx/, unique; the number of renamed documents."""
    total = 0
    for name in ["docs", *sorted(p.name for p in folder.glob("docs-*"))]:
        note = folder / "work" / f"renames{name.removeprefix('docs')}.json"
        if note.exists():
            renames = read_json_object(note)
        else:
            renames = _renames(folder, units, name)
            atomic_json(note, renames)
        for unit, names in renames.items():
            _rewrite(folder, name, int(unit), {int(place): id for place, id in names.items()})
        total += sum(len(names) for names in renames.values())
    return total


def _shard(folder: Path, name: str, unit: int) -> Path:
    return folder / name / f"{unit:05d}.jsonl.zst"


def _rewrite(folder: Path, name: str, unit: int, names: dict[int, str]) -> None:
    """New ids in one shard, and in what stands beside its documents in pii/ and trimmed/: by the place of the document."""
    shard = _shard(folder, name, unit)
    with write_shard(shard) as out:
        for place, document in enumerate(read_shard(shard)):
            out.write(Document(names.get(place, document.id), document.text, document.source, document.meta))
    for beside in (_shard(folder, "pii", unit), _shard(folder, "trimmed", unit)):
        if not beside.exists():
            continue
        with write_shard(beside) as out:
            for _, entry in read_records(beside):
                new = names.get(entry["n"]) if entry["in"] == name else None
                out.write({**entry, "id": new} if new else entry)
