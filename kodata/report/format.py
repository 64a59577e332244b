"""How values look in a report: numbers with thousands separators, hostile characters made visible."""

from __future__ import annotations

import re
from typing import Any

from kodata.report.values import clean

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff]"
    "|[\U000e0000-\U000e007f]|[\U0001fffe\U0001ffff\U0010fffe\U0010ffff]"
)


def visible(text: str) -> str:
    """The text with control, direction and zero-width characters shown (``⟨U+202E⟩``); line breaks and tabs stay."""
    return _HIDDEN.sub(_picture, clean(text.replace("\r\n", "\n")))


def _picture(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match.group()):04X}⟩"


def number(value: int | float) -> str:
    """``1234567`` as ``1,234,567``; four significant digits for fractions; powers of ten where they are shorter."""
    if isinstance(value, int):
        return (
            f"{value:,}".replace("-", "−")
            if abs(value) < 10**18
            else f"{value:.3e}"
            if abs(value) < 10**300
            else "∞"
        )
    size = abs(value)
    if value != value or size == float("inf"):
        return "NaN" if value != value else "∞" if value > 0 else "−∞"
    if size == 0:
        return "0"
    if size >= 1e15 or size < 1e-4:
        shown = re.sub(r"\.?0*e([+-])0*", lambda m: "e" + m.group(1).replace("+", ""), f"{value:.3e}")
    elif size >= 1000:
        shown = f"{value:,.1f}".removesuffix(".0")
    else:
        shown = f"{value:.4g}"
        shown = f"{float(shown):f}".rstrip("0").rstrip(".") if "e" in shown else shown
    return shown.replace("-", "−")


def value(cell: Any) -> str:
    """One cell as text."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "예 (yes)" if cell else "아니오 (no)"
    if isinstance(cell, int | float):
        return number(cell)
    return visible(str(cell))


def column(cells: list[Any]) -> list[str]:
    """Cells of one column as text: fractions below ten with the same number of decimals, so that they line up."""
    shown = [value(one) for one in cells]
    fractions = [i for i, one in enumerate(cells) if isinstance(one, float) and "e" not in shown[i]]
    decimals = max((len(shown[i].partition(".")[2]) for i in fractions), default=0)
    if decimals <= 4 and all(abs(cells[i]) < 10 for i in fractions):
        for i in fractions:
            shown[i] = f"{cells[i]:.{decimals}f}".replace("-", "−")
    return shown


def tick(value: float, step: float) -> str:
    """An axis label, short: ``1,500``, ``20k``, ``0.05`` with the digits the step needs."""
    size = abs(value)
    if size and (size >= 1e15 or (size < 1e-4 and step < 1e-4)):
        return number(float(f"{value:.2g}"))
    for limit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            unit = 1e3 if suffix == "k" else limit
            return f"{value / unit:.4g}".replace("-", "−") + suffix
    digits = 0
    while digits < 6 and abs(round(step, digits) - step) > step * 1e-6:
        digits += 1
    shown = f"{value:,.{digits}f}"
    return shown.replace("-", "−") if float(shown.replace(",", "")) else "0"


def seconds(value: float) -> str:
    """A length of time: ``0.8초``, ``3분 20초``, ``2시간 5분``."""
    if not value < 1e12:
        return "–"
    if value < 60:
        return f"{value:.1f}".removesuffix(".0") + "초"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}분 {whole % 60}초"
    return f"{whole // 3600:,}시간 {whole % 3600 // 60}분"


_QUANTITY = re.compile(
    r"\s*([+\-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?:\s*±.*|\s*[^\d\s,.\-:/][^\d]{0,15})?\s*"
)


def sort_keys(cells: list[Any]) -> list[float | None] | None:
    """Numbers to sort a column by, or None for a column of words. Text such as ``12.5%`` or ``3.1 GB`` counts as a number
    when every cell has the same unit (binary and decimal byte sizes are understood)."""
    keys: list[float | None] = []
    units = set()
    for cell in cells:
        if cell is None or cell in ("", "–", "NaN"):
            keys.append(None)
        elif isinstance(cell, bool):
            return None
        elif isinstance(cell, int | float):
            keys.append(float(cell) if abs(cell) < 1e300 else 1e300 if cell > 0 else -1e300)
        else:
            match = _QUANTITY.fullmatch(cell) if len(cell) < 60 else None
            if match is None:
                return None
            unit = cell[match.end(1) :].split("±")[0].strip()
            scale = _SIZES.get(unit, 1.0)
            units.add("B" if unit in _SIZES else unit)
            keys.append(float(match.group(1).replace(",", "").replace("−", "-")) * scale)
    return keys if len(units) <= 1 and any(k is not None for k in keys) else None


_SIZES = {f"{p}B": 1000.0**i for i, p in enumerate(("", "k", "M", "G", "T"))}
_SIZES |= {f"{p}iB": 1024.0**i for i, p in enumerate(("", "K", "M", "G", "T"))} | {"KB": 1000.0}


def cut(text: str, limit: int) -> tuple[str, bool]:
    """The first ``limit`` characters and whether something was left out."""
    return (text, False) if len(text) <= limit else (text[:limit], True)
