"""gettext catalogues (.po): the translations in order, one file a document. Fuzzy and obsolete entries are guesses and left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from kodata.sources.record import Failure, Part, Record, Settings
from kodata.sources.streams import BrokenInput, read_all
from kodata.text.encoding import decode

MAX_PO_BYTES = 64 << 20
_ENTRY = re.compile(r'^(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)\s+"(.*)"\s*$')
_MORE = re.compile(r'^"(.*)"\s*$')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "", '"': '"', "\\": "\\"}


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[0]), text)


def entries(text: str) -> Iterator[tuple[str, str, bool]]:
    """(msgid, msgstr, fuzzy?) of a catalogue, in order; of plural forms the last, which says it for any number."""
    fields: dict[str, list[str]] = {}
    fuzzy, key = False, ""

    def made() -> tuple[str, str, bool] | None:
        strings = [name for name in fields if name.startswith("msgstr")]
        if not strings:
            return None
        return _unescape("".join(fields.get("msgid", []))), _unescape("".join(fields[strings[-1]])), fuzzy

    for raw in [*text.split("\n"), ""]:
        line = raw.strip()
        started = _ENTRY.match(line)
        over = not line or line.startswith("#") or (started and started[1] in ("msgctxt", "msgid"))
        if over and any(name.startswith("msgstr") for name in fields):
            if entry := made():
                yield entry
            fields, fuzzy, key = {}, False, ""
        if line.startswith("#,"):
            fuzzy = "fuzzy" in line
        elif started:
            key = started[1]
            fields[key] = [started[2]]
        elif key and (more := _MORE.match(line)):
            fields[key].append(more[1])
    if entry := made():
        yield entry


def read_po(handle: BinaryIO, part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """One catalogue, one Record; how many entries had no (sure) translation stands in meta `untranslated`."""
    text = decode(read_all(handle, MAX_PO_BYTES)).text
    kept: list[str] = []
    missing = seen = 0
    for source, target, fuzzy in entries(text.replace("\r\n", "\n")):
        seen += 1
        if not source:
            continue  # the head of the catalogue
        if target.strip() and not fuzzy:
            kept.append(target.strip("\n"))
        else:
            missing += 1
    if not seen:
        raise BrokenInput("gettext 항목이 없음 (no gettext entry)")
    meta = {k: v for k, v in (("licence", settings.licence), ("kind", settings.kind)) if v is not None}
    extra = {"untranslated": missing} if missing else {}
    yield Record("\n".join(kept), "", None, settings.source, {**meta, **extra, "file": part.name})
