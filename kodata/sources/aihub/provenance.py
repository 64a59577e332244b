"""What the path of a delivered file says: which data set, training or validation, source text or labels."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_SPLIT_NAMES = {"training": "train", "train": "train", "학습": "train", "validation": "valid", "valid": "valid", "검증": "valid",
                "test": "test", "평가": "test", "other": "other", "others": "other", "sample": "other"}  # fmt: skip
_SPLIT = re.compile(
    rf"(?:\d{{1,2}}[._ -]{{0,2}})?({'|'.join(_SPLIT_NAMES)})(?:_\d{{4,8}}.{{0,20}})?(?:\.zip|\.tar)?", re.I
)
_ARCHIVE_SPLIT = re.compile(r"^(?P<split>[TV])(?P<side>[SL])(?:\d|_|\.|$)")
_FILE_SPLIT = re.compile(r"[_-](train|valid|validation|test)(?=[_.-]|$)", re.I)
_SIDES = (
    ("source", re.compile(r"원천\s?데이터|^\[원천\]")),
    ("label", re.compile(r"라벨링?\s?데이터|^\[라벨\]")),
)
_FRAME = re.compile(
    r"^(?:\d{1,2}(?:-\d)?[._ -]{0,2})?(?:데이터|정식개방데이터|Training|Validation|Test|Other|Sample)", re.I
)
_NUMBERED = re.compile(r"\d{2,3}(?:-\d)?\.\s?.*[가-힣]")


@dataclass(frozen=True, slots=True)
class Provenance:
    """dataset: folder name of the data set or ""; split: train valid test other or ""; side: source label or "";
    tree: the path is laid out as AI Hub delivers."""

    dataset: str = ""
    split: str = ""
    side: str = ""
    tree: bool = False


def provenance(path: str) -> Provenance:
    """Read a path ("…/017.뉴스 기사 기계독해 데이터/01.데이터/1.Training/라벨링데이터/TL1.zip!TL1/a.json")."""
    names = [
        n for n in unicodedata.normalize("NFC", path).replace("!", "/").split("/") if n not in ("", ".", "..")
    ]
    split = side = ""
    frame = 0
    for place, name in enumerate(names):
        if place < len(names) - 1 and (found := _SPLIT.fullmatch(name)):
            split = _SPLIT_NAMES[found[1].lower()]
            frame = frame or place
        for word, pattern in _SIDES:
            if pattern.search(name):
                side = word
                frame = frame or place
        if found := _ARCHIVE_SPLIT.match(name):
            split = split or {"T": "train", "V": "valid"}[found["split"]]
            side = side or {"S": "source", "L": "label"}[found["side"]]
    if not split and names and (found := _FILE_SPLIT.search(names[-1])):
        split = "valid" if found[1].lower().startswith("valid") else found[1].lower()
    tree = bool(frame and split and side)
    above = [name for name in names[: frame if tree else -1] if not _is_frame(name)]
    numbered = [name for name in above if _NUMBERED.fullmatch(name)]
    dataset = numbered[0] if numbered else above[-1] if tree and above else ""
    return Provenance(dataset, split, side, tree)


def _is_frame(name: str) -> bool:
    """Folders that every data set has."""
    return bool(_FRAME.match(name)) or any(pattern.search(name) for _, pattern in _SIDES)
