"""What may stand in a block: any value as bounded, strict JSON.

* numpy and torch scalars become Python numbers;
* not-a-number and infinities become ``None`` (a gap) in charts and the words ``"NaN"``, ``"∞"``, ``"-∞"`` in cells;
* lone surrogates become U+FFFD, and what is longer than its limit is cut and says its true length.

The functions named ``as_…`` raise ``ValueError`` for a value of another kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

MAX_CELL = 1_000
"""Characters kept of one table cell, label or fact."""


def clean(string: str) -> str:
    """The string with lone surrogates replaced by U+FFFD, so that it can be written as UTF-8."""
    try:
        string.encode()
    except UnicodeEncodeError:
        return string.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return string


def clip(value: Any, limit: int) -> str:
    """``value`` as clean text; when longer than ``limit`` it is cut and says its true length."""
    string = as_text(value)
    if len(string) <= limit:
        return clean(string)
    tail = f" … ({len(string):,}자)"
    return clean(string[: limit - len(tail)]) + tail


def cell(value: Any) -> str | int | float | bool | None:
    """A JSON scalar out of anything: numbers stay numbers, the rest becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clip(value, MAX_CELL)
    number = as_scalar(value)
    if isinstance(number, bool):
        return number
    if isinstance(number, int):
        return number if number.bit_length() <= 256 else "∞"
    if isinstance(number, float):
        if math.isnan(number):
            return "NaN"
        return number if math.isfinite(number) else "∞" if number > 0 else "-∞"
    return clip(str(value), MAX_CELL)


def thin(points: list[list[float | None]], limit: int, head: int = 0) -> list[list[float | None]]:
    """At most ``limit`` of the points, in order: the first, the last, and the extremes of every stretch between.

    The first ``head`` points are all kept (for logarithmic axes, where they take much of the width).
    """
    if len(points) <= limit:
        return points
    if head:
        return [*points[:head], *thin(points[head:], limit - head)]
    if limit < 4:
        return points[: max(limit, 0)]
    inner = points[1:-1]
    stretches = (limit - 2) // 2
    kept = [points[0]]
    for i in range(stretches):
        part = inner[i * len(inner) // stretches : (i + 1) * len(inner) // stretches]
        real = [j for j, p in enumerate(part) if p[1] is not None]
        if not real:
            kept.extend(part[:1])  # a gap stays a gap
            continue
        chosen = {pick(real, key=lambda j: part[j][1] or 0.0) for pick in (min, max)}
        kept.extend(part[j] for j in sorted(chosen))
    return [*kept, points[-1]]


def as_text(value: Any) -> str:
    """``value`` as text; containers and bytes are refused."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list | tuple | set | bytes):
        raise ValueError(f"text expected, not {type(value).__name__}")
    return str(value)


def as_list(value: Any, what: str) -> list[Any]:
    """The items of any iterable but text, bytes and mappings; ``what`` names it in the error."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"{what}: a sequence expected, not {type(value).__name__}")
    return list(value)


def as_pair(value: Any, what: str) -> list[Any]:
    """A list of exactly two values."""
    pair = as_list(value, what)
    if len(pair) != 2:
        raise ValueError(f"{what}: a pair expected, not {len(pair)} values")
    return pair


def as_pairs(values: Any) -> Iterable[list[Any]]:
    """Each value as a pair."""
    for value in as_list(values, "pairs"):
        yield as_pair(value, "pairs")


def as_scalar(value: Any) -> Any:
    """numpy and torch scalars as Python numbers; everything else as it is."""
    if isinstance(value, int | float):
        return value
    item = getattr(value, "item", None)
    if callable(item):
        try:
            return item()
        except (TypeError, ValueError, RuntimeError):
            return value
    return value


def as_number(value: Any) -> float | int | None:
    """A finite number, or None for None, NaN and infinities."""
    value = as_scalar(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number expected, not {value!r:.80}")
    if isinstance(value, int):
        return value if value.bit_length() <= 256 else None
    return value if math.isfinite(value) else None


def as_count(value: Any) -> int | float:
    """A number that is not negative (whole numbers stay whole); None, NaN and infinities count as 0."""
    number = as_number(value)
    if number is None:
        return 0
    if number < 0:
        raise ValueError(f"a count cannot be negative: {number}")
    return number
