"""From a row of keys and values to a Record: which key is the text, which is the licence, what goes into meta."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kodata.sources.record import Record, Settings

TEXT_KEYS = (
    "text", "content", "contents", "body", "document", "article", "passage", "paragraph", "context", "sentence", "raw_content",
    "main_text", "본문", "내용", "원문", "기사", "기사내용", "기사본문", "글", "문서", "텍스트", "문장",
)  # fmt: skip
"""Keys taken as the text, the first present one that holds a string."""
_ID_KEYS = ("id", "doc_id", "docid", "document_id", "uid")
_LICENCE_KEYS = ("licence", "license", "라이선스")
_URL_KEYS = ("url", "url_or_path")
_TITLE_KEYS = ("title", "제목")
_PLACEHOLDER = re.compile(r"\{([^{}\n]{1,100})\}")
_MISSING = object()


class NoText(Exception):
    """The row has no text under any known key; the message is for the user."""


def is_template(field: str) -> bool:
    """True for "{제목}\\n{본문}": keys in braces; False for a plain key."""
    return _PLACEHOLDER.search(field) is not None


def _lookup(row: Mapping[str, Any], key: str) -> Any:
    """Value of a key; dots go into nested objects when no key has that very name."""
    if key in row:
        return row[key]
    value: Any = row
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _string(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def keys_seen(row: Mapping[str, Any]) -> str:
    """The keys of a row for a message, cut to a readable length."""
    names = [str(key)[:40] for key in list(row)[:15]]
    return ", ".join(names) + (" …" if len(row) > 15 else "")


def find_text(row: Mapping[str, Any], field: str | None) -> tuple[str, set[str]]:
    """(text, keys it was made of). Raises NoText naming the keys seen."""
    if field and is_template(field):
        used: set[str] = set()

        def value(match: re.Match[str]) -> str:
            found = _lookup(row, match.group(1))
            if found is _MISSING:
                raise NoText(
                    f'"{match.group(1)}" 열쇠가 없음 (no such key). 있는 열쇠 (keys): {keys_seen(row)}'
                )
            used.add(match.group(1))
            return _string(found) or ""

        return _PLACEHOLDER.sub(value, field.replace("\\n", "\n")), used
    if field:
        found = _lookup(row, field)
        text = None if found is _MISSING else _string(found)
        if text is None:
            raise NoText(f'"{field}" 에 글이 없음 (no text there). 있는 열쇠 (keys): {keys_seen(row)}')
        return text, {field}
    lowered = {str(key).strip().lower(): key for key in row}
    for key in TEXT_KEYS:
        if key in lowered and isinstance(row[lowered[key]], str):
            return row[lowered[key]], {lowered[key]}
    for key in TEXT_KEYS:  # null and lists of lines only when nothing is a plain string
        if key in lowered and (text := _string(row[lowered[key]])) is not None:
            return text, {lowered[key]}
    raise NoText(
        f"본문 열쇠를 못 찾음 (no known text key). 있는 열쇠 (keys): {keys_seen(row)}; --text-field 로 고르십시오"
    )


def record(row: Mapping[str, Any], place: str, settings: Settings) -> Record:
    """Make a Record of a row. Known keys keep their meaning, the others go into meta. Raises NoText."""
    text, used = find_text(row, settings.text_field)
    rest = {str(key): value for key, value in row.items() if key not in used and value is not None}
    meta: dict[str, Any] = {}
    inner = rest.pop("meta", None) or rest.pop("metadata", None)
    if isinstance(inner, Mapping):
        meta.update({str(key): value for key, value in inner.items()})
    elif inner is not None:
        meta["meta"] = inner
    identity = None
    for key in _ID_KEYS:
        if (
            isinstance(rest.get(key), str | int)
            and not isinstance(rest[key], bool)
            and str(rest[key]).strip()
        ):
            identity = str(rest.pop(key)).strip()
            break
    source = rest.pop("source", "")
    for name, keys in (("licence", _LICENCE_KEYS), ("url", _URL_KEYS), ("title", _TITLE_KEYS)):
        for key in keys:
            if isinstance(rest.get(key), str):
                value = rest.pop(key)
                if value and not meta.get(name):
                    meta[name] = value
    meta.update(rest)
    for name, value in (("licence", settings.licence), ("kind", settings.kind)):
        if value is not None and not meta.get(name):
            meta[name] = value
    return Record(text, place, identity, settings.source or (source if isinstance(source, str) else ""), meta)
