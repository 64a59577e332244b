"""Dates and check digits of Korean numbers. Arguments are strings of ASCII digits without separators."""

from __future__ import annotations

_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CENTURY = {"9": 1800, "0": 1800, "1": 1900, "2": 1900, "5": 1900, "6": 1900, "3": 2000, "4": 2000, "7": 2000, "8": 2000}  # fmt: skip


def valid_date(digits: str, seventh: str = "") -> bool:
    """YYMMDD with a possible month and day. `seventh`: the digit after it, which names the century (leap years)."""
    month, day = int(digits[2:4]), int(digits[4:6])
    if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
        return False
    if (month, day) == (2, 29) and seventh in _CENTURY:
        year = _CENTURY[seventh] + int(digits[:2])
        return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return True


def rrn_check(digits: str) -> bool:
    """Check digit of a resident number (13 digits), in force until October 2020; foreigners' variant (+2) included."""
    total = sum(int(d) * w for d, w in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False))
    check = (11 - total % 11) % 10
    return int(digits[12]) in (check, (check + 2) % 10 if digits[6] in "5678" else check)


def business_check(digits: str) -> bool:
    """Check digit of a business number (10 digits)."""
    total = (
        sum(int(d) * w for d, w in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=False))
        + int(digits[8]) * 5 // 10
    )
    return (10 - total % 10) % 10 == int(digits[9])


def corporate_check(digits: str) -> bool:
    """Check digit of a corporate registration number (13 digits)."""
    total = sum(int(d) * (1 + i % 2) for i, d in enumerate(digits[:12]))
    return (10 - total % 10) % 10 == int(digits[12])


def luhn(digits: str) -> bool:
    """Luhn check of a card number."""
    total = 0
    for i, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + i % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_check(digits: str) -> bool:
    """A card's length, leading digit and Luhn check: 16 digits from 3, 4, 5, 6, 9, or 15 from 34 and 37."""
    shape = digits[0] in "34569" if len(digits) == 16 else len(digits) == 15 and digits[:2] in ("34", "37")
    return shape and luhn(digits)


def ean_check(digits: str) -> bool:
    """Check digit of a 13-digit article number (880… is Korea): those are not resident numbers."""
    return sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0
