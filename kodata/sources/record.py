"""What readers take and give: a Part of an input, the Settings for it, and Records or Failures out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize


def shown(name: str) -> str:
    """The name of a file as its author wrote it, NFC: bytes that are not UTF-8 are mostly CP949, from an archive of a
    Korean Windows; macOS takes syllables apart."""
    if not name.isascii():
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:  # lone surrogates: how Python gives such bytes
            data = os.fsencode(name)
            try:
                name = data.decode("cp949")
            except UnicodeDecodeError:
                name = data.decode("utf-8", "replace")
        name = normalize("NFC", name)
    return name


@dataclass(kw_only=True, slots=True)
class SourceRule:
    """Settings for the files of one source, in a recipe's `sources:` list. The first rule that matches a file is used."""

    match: str
    """글롭: 파일 경로나 이름에 맞춰 봄 (glob on the path or the name of a file)"""
    text: str | None = None
    """본문 열쇠 또는 틀 "{제목}\\n{본문}" (text key, or a template of keys)"""
    source: str | None = None
    """문서에 적을 출처 이름 (name of the source)"""
    licence: str | None = None
    """라이선스 (licence of the source)"""
    kind: str | None = None
    """종류: web news book law academic dialogue verse … (kind of text)"""
    profile: str | None = None
    """정제 프로파일 (cleaning profile)"""
    form: str | None = None
    """읽는 꼴: text jsonl json csv tsv xlsx parquet html warc epub hwp hwpx xml po (form of the file)"""
    split: str | None = None
    """text 파일을 문서로 나누는 법: file | line | blank (how a text file becomes documents)"""


@dataclass(kw_only=True, slots=True)
class Settings:
    """How the records of one part are read: what the user or a SourceRule says, resolved. A record's own licence and
    kind stay; these fill in where it has none. The source named here wins."""

    text_field: str | None = None
    source: str = ""
    licence: str | None = None
    kind: str | None = None
    profile: str | None = None
    split: str = "file"


@dataclass(kw_only=True, slots=True)
class Part:
    """A piece of an input that one worker reads alone. JSON-able: work units are fixed in the run folder as parts.

    path: file (or `hf:` address); name: how the file is called in ids, independent of where its folder stands;
    start, end: byte range of plain JSONL or row groups of Parquet (end 0 = to the end), line: lines or rows before start;
    member: index in a zip; segments: where the file's bytes lie when they are in pieces or inside another file; shard, shards: which piece of a Hub dataset; size: about how many bytes of text.
    """

    path: str
    name: str
    form: str
    start: int = 0
    end: int = 0
    line: int = 0
    member: int = -1
    segments: list[list[Any]] = field(default_factory=list)
    shard: int = 0
    shards: int = 1
    size: int = 0
    argument: int = 0
    settings: int = 0

    @property
    def label(self) -> str:
        """What messages call it: the path the user can open, and the member of a zip."""
        member = self.name.partition("!")[2] if self.member >= 0 or self.segments else ""
        path = self.path
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            path = shown(path)
        return f"{path}!{member}" if member else path


@dataclass(slots=True)
class Record:
    """One text as it was found. id None: the input gave none. place: line, row or piece, for ids and messages."""

    text: str
    place: str
    id: str | None = None
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    drop: str = ""
    """Why the reader itself says that this is no document (`chat_material`); written to dropped/ with this reason."""


@dataclass(slots=True)
class Failure:
    """A record that could not be read: where, and why (Korean first)."""

    file: str
    place: str
    reason: str

    def to_dict(self) -> Mapping[str, str]:
        """The line of failed.jsonl."""
        return {"file": self.file, "place": self.place, "reason": self.reason}
