"""From the bytes of a file called .json to its values, as delivered: BOM, EUC-KR, JSON lines under the name of JSON,
control characters inside strings, commas too many, values without quotes, tables called JSON."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from kodata.text.encoding import sniff

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*+(?:"|\\?\Z)'
"""A string, or what begins one and never ends: so that hostile text is passed over once."""
_FAULTS = re.compile(
    rf"{_STRING}|(?P<comma>,)(?=\s*+[}}\]])|(?<=:)(?P<gap>[ \t]*+)(?P<bare>[^\s\"{{\[\]}},:][^\n\r,}}\]\"]{{0,200}}+)(?=[,}}\]\r\n])",
    re.S,
)
_SCALAR = re.compile(r"-?\d[\d.eE+-]*|true|false|null|NaN|-?Infinity")
_SPACE = re.compile(r"[\s\x00\ufeff\x1e]*")
_TOO_DEEP = "너무 깊이 겹친 JSON (nested too deeply)"


class Value(NamedTuple):
    """One value of a file. place: line or number where a file has several, "" for an only one; error: why it could
    not be read, for the user."""

    place: str
    value: Any
    error: str = ""


def text_of(data: bytes) -> str:
    """The text of a file in whatever charset Korean files come; bytes that fit nothing become U+FFFD."""
    encoding = sniff(data[: 1 << 16])
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        pass
    encoding = sniff(data)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return decoder.decode(data, final=False).removeprefix("\ufeff")


def loads(data: bytes | str) -> Any:
    """One JSON value, strictly first, then with control characters in strings allowed, then repaired.
    Raises ValueError (also for what is nested too deeply)."""
    import orjson

    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    text = data if isinstance(data, str) else text_of(data)
    try:
        try:
            return json.loads(text.strip("\0 \t\r\n\ufeff\x1e"), strict=False)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data":
                raise
            return json.loads(repaired(text).strip("\0 \t\r\n\ufeff\x1e"), strict=False)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def repaired(text: str) -> str:
    """JSON text without commas before a closing bracket and with quotes around bare values. Strings stay as they are."""
    return _FAULTS.sub(_mended, text)


def _mended(match: re.Match[str]) -> str:
    if match["comma"]:
        return ""
    if match["bare"] and not _SCALAR.fullmatch(match["bare"].strip()):
        return match["gap"] + json.dumps(match["bare"].rstrip(), ensure_ascii=False)
    return match[0]


def is_table(data: bytes) -> bool:
    """Whether a file called .json is a table of tab-separated lines."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf\0 \r\n")
    first = head.split(b"\n", 1)[0]
    return bool(head) and head[:1] not in b'{["' and first.count(b"\t") > 0


def values(data: bytes) -> Iterator[Value]:
    """The values of a JSON file: one, or one a line, or one after the other. A broken one is named, the others are read."""
    try:
        yield Value("", loads(data))
        return
    except ValueError as error:
        whole = error
    text = text_of(data)
    lines = text.split("\n")
    if sum(1 for line in lines if line.strip("\0 \t\r\ufeff\x1e")) > 1 and _starts_whole(lines):
        for number, line in enumerate(lines, 1):
            if line := line.strip("\0 \t\r\ufeff\x1e"):
                try:
                    yield Value(str(number), loads(line))
                except ValueError as error:
                    yield Value(str(number), None, _broken(error))
        return
    yield from _in_a_row(text, whole)


def _starts_whole(lines: list[str]) -> bool:
    """JSON lines show themselves by a whole object or list on one of the first lines."""
    for line in [line.strip("\0 \t\r\ufeff\x1e") for line in lines[:50]][:50]:
        if line[:1] in ("{", "["):
            try:
                json.loads(line, strict=False)
                return True
            except (ValueError, RecursionError):
                continue
    return False


def _in_a_row(text: str, whole: ValueError) -> Iterator[Value]:
    """Values written one after the other over several lines; where one breaks, the rest is lost and said so."""
    decoder = json.JSONDecoder(strict=False)
    place = _SPACE.match(text).end()  # type: ignore[union-attr]
    number = 0
    while place < len(text):
        try:
            value, end = decoder.raw_decode(text, place)
            if number == 0 and not isinstance(value, dict | list):
                raise whole
        except (ValueError, RecursionError) as error:
            told = (
                whole
                if number == 0
                else ValueError(_TOO_DEEP)
                if isinstance(error, RecursionError)
                else error
            )
            yield Value(f"{number}+" if number else "", None, _broken(told))
            return
        number += 1
        yield Value(str(number), value)
        found = _SPACE.match(text, end)
        place = found.end() if found else end
        if text[place : place + 1] == ",":
            place = _SPACE.match(text, place + 1).end()  # type: ignore[union-attr]


def _broken(error: Exception) -> str:
    return f"JSON이 깨짐 (broken JSON: {str(error)[:120]})"
