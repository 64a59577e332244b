"""Detectors of numbers of identity: resident, foreigner, business, corporate, card, driver, passport, account, plate.

Each yields places in order; a place of kind STAND_IN holds what an earlier pass put there (see `pseudonyms`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kodata.pii import context
from kodata.pii.checks import business_check, card_check, corporate_check, ean_check, rrn_check, valid_date
from kodata.pii.found import STAND_IN, Found
from kodata.pii.shapes import PLATE_LETTERS

_SIX_SEVEN = re.compile(
    r"(?<![0-9])(?<![0-9]-)([0-9]{6})( ?[-–‐‑‒−] ?| |)([0-9]{7}|[1-8]\*{6})(?![0-9])(?!-[0-9])"
)
_NOT_DIGIT = re.compile("[^0-9]")


def digits_of(value: str) -> str:
    """The digits of a number without what stands between them."""
    return _NOT_DIGIT.sub("", value)


def resident_numbers(text: str) -> Iterator[Found]:
    """Resident (주민), foreigner and corporate numbers: all are six and seven digits. The date goes before all."""
    for m in _SIX_SEVEN.finditer(text):
        first, dash, last = m.groups()
        digits = first + last
        if not digits.strip("0"):
            continue
        if first[0] == "0" and first[2:4] == "00" and dash != " ":  # no month, and no register begins with 0
            yield Found(m.start(), m.end(), STAND_IN)
            continue
        kind = "foreigner" if last[0] in "5678" else "rrn"
        around = context.around(text, m.start(), m.end(), 25)
        dated = valid_date(first, last[0])
        corporate = context.names_corporate(text, m.start()) or (
            # 110111-… is a company of Seoul or a birthday: the check digits and the words around decide
            dated and dash == "-" and "*" not in last and corporate_check(digits) and not rrn_check(digits)
            and not context.RRN.search(around.replace("회사 등록번호", "")) and context.COMPANY.search(around) is not None
        )  # fmt: skip
        if dash == " ":  # two numbers side by side, unless the words say otherwise
            if dated and last[0] in "12345678" and context.RRN_NEAR.search(around) and not corporate:
                yield Found(m.start(), m.end(), kind)
            continue
        if "*" in last:
            if dated:
                yield Found(m.start(), m.end(), kind)
            continue
        if dated and not corporate:
            plain = bool(dash) and (last[0] in "12345678" or rrn_check(digits))
            bare = not dash and (
                context.RRN.search(around)
                or (last[0] in "12345678" and rrn_check(digits) and not ean_check(digits))
            )
            if plain or bare:
                yield Found(m.start(), m.end(), kind)
                continue
        if corporate or (dash and corporate_check(digits)):
            yield Found(m.start(), m.end(), "corporate")


_BUSINESS = re.compile(
    r"(?<![0-9])(?<![0-9]-)[0-9]{3}(?: ?([-–‐‑‒−]) ?[0-9]{2} ?[-–‐‑‒−] ?|[0-9]{2})[0-9]{5}(?![0-9])(?!-[0-9])"
)


def business_numbers(text: str) -> Iterator[Found]:
    """Business numbers 3-2-5: the check digit or the word; without hyphens both."""
    for m in _BUSINESS.finditer(text):
        digits = digits_of(m.group())
        word = context.BUSINESS.search(context.around(text, m.start(), m.end(), 25)) is not None
        checked = business_check(digits)
        if digits[:3] == "000":
            if m[1] or word:
                yield Found(m.start(), m.end(), STAND_IN)
        elif (checked or word) if m[1] else (checked and word):
            yield Found(m.start(), m.end(), "business")


_CARD = re.compile(
    r"(?<![0-9])(?<![0-9]-)(?:[034569][0-9]{3}([- ])[0-9]{4}\1[0-9]{4}\1[0-9]{4}|[03][0-9]{3}([- ])[0-9]{6}\2[0-9]{5}"
    r"|[034569][0-9]{14,15})(?![0-9])(?!-[0-9])"
)


def cards(text: str) -> Iterator[Found]:
    """Card numbers: length, leading digit, Luhn; an ungrouped run of digits also needs the word."""
    for m in _CARD.finditer(text):
        digits = digits_of(m.group())
        if card_check(digits) and (
            m[1] or m[2] or context.CARD.search(context.around(text, m.start(), m.end(), 30))
        ):
            yield Found(m.start(), m.end(), "card")
        elif digits[0] == "0":
            yield Found(m.start(), m.end(), STAND_IN)


_REGIONS = "서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산|세종"
_DRIVER = re.compile(
    rf"(?<![0-9-])(?:(?:1[1-9]|2[0-68]|00)-|(?:{_REGIONS}) ?)[0-9]{{2}}-[0-9]{{6}}-[0-9]{{2}}(?![0-9-])"
)


def drivers(text: str) -> Iterator[Found]:
    """Driving licences: region (11–26, 28 or its name), year, serial, check."""
    for m in _DRIVER.finditer(text):
        yield Found(m.start(), m.end(), STAND_IN if m.group().startswith("00") else "driver")


_PASSPORT = re.compile(r"(?<![A-Za-z0-9])(?:[MSRGD][0-9]{8}|[MSRGD][0-9]{3}[A-Z][0-9]{4})(?![A-Za-z0-9])")


def passports(text: str) -> Iterator[Found]:
    """Passport numbers, old form and that of December 2021, near the word."""
    for m in _PASSPORT.finditer(text):
        if context.PASSPORT.search(context.around(text, m.start(), m.end(), 30, 20)):
            yield Found(m.start(), m.end(), "passport")


_ACCOUNT = re.compile(
    r"(?<![0-9.])(?<![0-9]-)[0-9]{2,6}(?:-[0-9]{1,7}){1,3}(?![0-9])(?!-[0-9])|(?<![0-9.-])[0-9]{10,14}(?![0-9-])"
)
_DATE_LIKE = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}$|[0-9]{4}-[0-9]{4}$")


def accounts(text: str) -> Iterator[Found]:
    """Bank accounts: 10 to 14 digits, with or without hyphens, near a bank or the word. The grouping proves nothing."""
    if not context.ACCOUNT.search(text):
        return
    for m in _ACCOUNT.finditer(text):
        value = m.group()
        count = sum(c.isdigit() for c in value)
        if (
            10 <= count <= 14
            and not digits_of(value).startswith("0000")
            and not (value.isdigit() and context.AMOUNT.match(text, m.end()))
            and not context.is_reference(text, m.start(), m.end())
            and not _DATE_LIKE.fullmatch(value)
            and context.ACCOUNT.search(context.around(text, m.start(), m.end(), 30, 12))
        ):
            yield Found(m.start(), m.end(), "account")


_PLATE = re.compile(
    rf"(?<![0-9가-힣])(?P<region>(?:{_REGIONS})\s?)?(?P<front>[0-9]{{2,3}})"
    rf"(?P<letter>[{PLATE_LETTERS}])(?P<gap>\s?)[0-9]{{4}}(?![0-9])(?!\s?[억만원명개년월일호조%])"
)


def plates(text: str) -> Iterator[Found]:
    """Number plates: the letters in use, and a region, three leading digits or a word; never a court case (98다1234)."""
    for m in _PLATE.finditer(text):
        if context.CASE.search(context.on_line(text, m.start(), m.end())):
            continue
        around = context.around(text, m.start(), m.end(), 30, 12)
        long = (
            len(m["front"]) == 3 and m["front"][0] != "0" and not m["gap"] and m["letter"] not in "조호도주"
        )
        if m["region"] or long or context.PLATE.search(around):
            yield Found(m.start(), m.end(), "plate")
