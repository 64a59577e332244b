"""Paths into parsed JSON: "documents[].text[][].sentence". `[]` goes through a list, a name through an object, `{}`
through the records of an object whose keys are their ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from kodata.sources.aihub.item import WrongItem

_STEP = re.compile(r"\[\]|\{\}|[^.\[\]{}]+")
LOOK = 8
"""Elements of a list that detection looks at."""
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "list": (list,), "dict": (dict,), "num": (int, float), "scalar": (str, int, float), "bool": (bool,),
}  # fmt: skip


@lru_cache(maxsize=4096)
def steps(path: str) -> tuple[str, ...]:
    """("documents", "[]", "text") of "documents[].text"."""
    return tuple(_STEP.findall(path))


def walk(value: Any, path: str) -> Iterator[Any]:
    """Every value at a path, in order; missing keys and null give nothing. Raises WrongItem where a list or an
    object is expected and something else stands there."""
    yield from _walk(value, steps(path), path)


def _walk(value: Any, rest: tuple[str, ...], path: str) -> Iterator[Any]:
    if value is None:
        return
    if not rest:
        yield value
        return
    step, rest = rest[0], rest[1:]
    if step == "[]":
        if not isinstance(value, list):
            raise WrongItem(f"{path}: 목록이 아님 (not a list): {type(value).__name__}")
        for item in value:
            yield from _walk(item, rest, path)
    elif step == "{}":
        for key, item in value.items() if _keyed(value) else ():
            yield from _walk({"id": key, **item} if isinstance(item, Mapping) else item, rest, path)
    elif isinstance(value, Mapping):
        if step in value:
            yield from _walk(value[step], rest, path)
    else:
        raise WrongItem(f"{path}: 객체가 아님 (not an object): {type(value).__name__}")


def _keyed(value: Any) -> bool:
    """Whether an object holds records by id: at least two, the first ones of one set of keys."""
    if not isinstance(value, Mapping) or len(value) < 2:
        return False
    some = list(islice(value.values(), LOOK))
    return all(isinstance(v, Mapping) and v for v in some) and len({frozenset(v) for v in some}) == 1


def has(value: Any, spec: str) -> bool:
    """Whether something stands at a path ("talk.content:dict" also asks for its type). Looks at a few elements of
    each list, never raises."""
    path, _, kind = spec.partition(":")
    return _has(value, steps(path), _TYPES[kind] if kind else None)


def _has(value: Any, rest: tuple[str, ...], kind: tuple[type, ...] | None) -> bool:
    if not rest:
        return kind is None or (
            isinstance(value, kind) and not (isinstance(value, bool) and bool not in kind)
        )
    step, rest = rest[0], rest[1:]
    if step == "[]":
        return isinstance(value, list) and any(_has(item, rest, kind) for item in value[:LOOK])
    return isinstance(value, Mapping) and step in value and _has(value[step], rest, kind)


def string(value: Any, path: str = "") -> str:
    """A leaf as text: numbers as written, null as "". Raises WrongItem for lists and objects."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)
    raise WrongItem(f"{path}: 글이 아님 (not a text): {type(value).__name__}")


def strings(value: Any, path: str) -> list[str]:
    """The texts at a path that are not empty. Raises WrongItem."""
    return [text for leaf in walk(value, path) if (text := string(leaf, path))]


def first(value: Any, *paths: str) -> str:
    """The first text that is not empty at any of the paths, "" for none. Raises WrongItem."""
    for path in paths:
        for leaf in walk(value, path):
            if text := string(leaf, path):
                return text
    return ""


def leaves(value: Any, skip: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every text inside a value in written order, but those under the names in `skip`."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if item.strip():
                yield item.strip()
        elif isinstance(item, Mapping):
            stack.extend(v for k, v in reversed(list(item.items())) if k not in skip)
        elif isinstance(item, list):
            stack.extend(reversed(item))


def shape(value: Any, depth: int = 2) -> str:
    """The keys of a value for a message: data[]{id, title, body{…}}."""
    if isinstance(value, Mapping):
        if depth <= 0:
            return "{…}"
        names = [f"{str(k)[:40]}{_inner(v, depth - 1)}" for k, v in list(value.items())[:15]]
        return "{" + ", ".join(names) + (", …" if len(value) > 15 else "") + "}"
    if isinstance(value, list):
        first = value[0] if value else None  # lists in lists may be nested as deep as a parser takes
        return "[][]" if isinstance(first, list) else "[]" + _inner(first, depth)
    return type(value).__name__


def _inner(value: Any, depth: int) -> str:
    return shape(value, depth) if isinstance(value, Mapping | list) else ""
