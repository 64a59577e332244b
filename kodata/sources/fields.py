"""From a row of keys and values to a Record: which key is the text, which is the licence, what goes into meta."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from kodata.sources.pagemeta import iso_date
from kodata.sources.record import Record, Settings

TEXT_KEYS = (
    "text", "content", "contents", "body", "document", "article", "passage", "paragraph", "context", "sentence", "raw_content",
    "main_text", "본문", "내용", "원문", "기사", "기사내용", "기사본문", "글", "문서", "텍스트", "문장",
)  # fmt: skip
"""Keys taken as the text, the first present one that holds a string."""
_ID_KEYS = ("id", "doc_id", "docid", "document_id", "uid")
_LICENCE_KEYS = ("licence", "license", "라이선스")
_URL_KEYS = ("url", "url_or_path")
_TITLE_KEYS = ("title", "headline", "제목", "기사제목")
_BYLINE_KEYS = ("byline", "author", "reporter", "writer", "기자", "기자명", "글쓴이", "저자")
_DATE_KEYS = (
    "date", "published", "published_at", "published_date", "publish_date", "pub_date", "pubdate", "pubDate", "datePublished",
    "created_at", "write_date", "선고일자", "시행일자", "작성일", "입력일", "등록일", "보도일", "발행일", "게재일", "일자", "날짜",
)  # fmt: skip
_FIXED = (
    ("licence", _LICENCE_KEYS), ("url", _URL_KEYS), ("title", _TITLE_KEYS), ("byline", _BYLINE_KEYS), ("date", _DATE_KEYS),
)  # fmt: skip
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


@lru_cache(maxsize=256)
def _text_names(names: Iterable[Any]) -> tuple[Any, ...]:
    """Those names that stand for a text, the likeliest first. Rows of one file have the same names."""
    lowered = {str(name).strip().lower(): name for name in names}
    return tuple(lowered[key] for key in TEXT_KEYS if key in lowered)


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
    names = _text_names(tuple(row)) if len(row) <= 64 else _text_names.__wrapped__(row)
    for name in names:
        if isinstance(row[name], str):
            return row[name], {name}
    for name in names:  # null and lists of lines only when nothing is a plain string
        if (text := _string(row[name])) is not None:
            return text, {name}
    raise NoText(
        f"본문 열쇠를 못 찾음 (no known text key). 있는 열쇠 (keys): {keys_seen(row)}; --text-field 로 고르십시오"
    )


@lru_cache(maxsize=256)
def _fixed_names(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(name in meta, name here) of those names that have a fixed one, in the order of the table."""
    return tuple((name, key) for name, keys in _FIXED for key in keys if key in names)


def fixed_meta(values: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Values under the names meta has for licence, url, title, byline and date (where `known` has none), the others as
    they are called."""
    rest = dict(values)
    meta: dict[str, Any] = {}
    for name, key in _fixed_names(tuple(rest)) if len(rest) <= 64 else _fixed_names.__wrapped__(tuple(rest)):
        if isinstance(rest.get(key), str):
            value = rest.pop(key)
            if value and not meta.get(name) and not (known or {}).get(name):
                meta[name] = iso_date(value) or value if name == "date" else value
    return meta | rest


class _Form(NamedTuple):
    """What the keys of a row are to `_usual`, found once for the rows of a file."""

    text: str
    identity: str | None
    fixed: tuple[tuple[str, str], ...]
    """(name in meta, key)."""
    others: tuple[str, ...]


@lru_cache(maxsize=256)
def _form(names: tuple[Any, ...]) -> _Form | None:
    """The form of rows with these keys; None when only `record` can tell."""
    texts = _text_names(names)
    ids = [key for key in _ID_KEYS if key in names]
    if not texts or len(ids) > 1 or any(not isinstance(name, str) for name in names):
        return None
    fixed = _fixed_names(names)
    taken = {texts[0], "source", *ids, *(key for _, key in fixed)}
    if len(taken) < 1 + ("source" in names) + len(ids) + len(fixed) or {"meta", "metadata"} & set(names):
        return None
    return _Form(texts[0], ids[0] if ids else None, fixed, tuple(name for name in names if name not in taken))


def _usual(row: Mapping[str, Any], form: _Form, place: str, settings: Settings) -> Record | None:
    """`record` of a row whose known keys hold strings, or None for another."""
    text = row[form.text]
    identity = row[form.identity].strip() if form.identity and isinstance(row[form.identity], str) else ""
    if not isinstance(text, str) or not (identity or form.identity is None):
        return None
    meta: dict[str, Any] = {}
    for name, key in form.fixed:
        value = row[key]
        if not isinstance(value, str):
            return None
        if value and name not in meta:
            meta[name] = iso_date(value) or value if name == "date" else value
    for key in form.others:
        if (value := row[key]) is not None:
            meta[key] = value
    if settings.licence is not None and not meta.get("licence"):
        meta["licence"] = settings.licence
    if settings.kind is not None and not meta.get("kind"):
        meta["kind"] = settings.kind
    source = settings.source or row.get("source", "")
    return Record(text, place, identity or None, source if isinstance(source, str) else "", meta)


def record(row: Mapping[str, Any], place: str, settings: Settings) -> Record:
    """Make a Record of a row. Known keys keep their meaning, the others go into meta. Raises NoText."""
    if (
        not settings.text_field
        and len(row) <= 64
        and (form := _form(tuple(row)))
        and (made := _usual(row, form, place, settings))
    ):
        return made
    return _of_any(row, place, settings)


def _of_any(row: Mapping[str, Any], place: str, settings: Settings) -> Record:
    """`record` of any row: the definition."""
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
    meta.update(fixed_meta(rest, meta))
    for name, value in (("licence", settings.licence), ("kind", settings.kind)):
        if value is not None and not meta.get(name):
            meta[name] = value
    return Record(text, place, identity, settings.source or (source if isinstance(source, str) else ""), meta)
