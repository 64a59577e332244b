"""Personal data in Korean text: found by shape, checked by rule, replaced by typed tags such as `[전화번호]`.

Shape alone is not enough (버전 1.2.3.4 is no address, 12조 3456억 no number plate), and a failed check digit does not
clear a resident number any more: since October 2020 new numbers have none. So each kind has its own evidence: boundaries,
dates, check digits, and words around it. The audit knows kinds and places, never values. Tags hold no digit, so a second
pass finds nothing.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kodata.run.errors import UsageError, did_you_mean

TAGS: dict[str, str] = {
    "email": "[이메일]",
    "rrn": "[주민등록번호]",
    "foreigner": "[외국인등록번호]",
    "business": "[사업자등록번호]",
    "corporate": "[법인등록번호]",
    "card": "[카드번호]",
    "driver": "[운전면허번호]",
    "passport": "[여권번호]",
    "phone": "[전화번호]",
    "public_phone": "[대표전화]",
    "account": "[계좌번호]",
    "plate": "[차량번호]",
    "address": "[상세주소]",
    "ip": "[IP주소]",
}
"""Kind -> the tag that replaces it. Of an address only the house number goes; the district stays."""


@dataclass(kw_only=True, slots=True)
class PiiConfig:
    """What is done with personal data."""

    mode: Literal["tag", "off"] = "tag"
    """찾은 개인정보를 [전화번호] 같은 표로 바꿈, off 는 그대로 둠 (replace by typed tags, or leave alone)"""
    keep: tuple[str, ...] = ("public_phone",)
    """바꾸지 않을 종류: 대표번호 1588·080 은 사람이 아님 (kinds left as they are)"""

    def __post_init__(self) -> None:
        for kind in self.keep:
            if kind not in TAGS:
                raise UsageError(
                    f"모르는 개인정보 종류 (unknown kind): {kind}",
                    did_you_mean(kind, list(TAGS)) or " | ".join(TAGS),
                )


class Found(NamedTuple):
    """One place in a text: half-open character range and kind."""

    start: int
    end: int
    kind: str


def valid_date(digits: str) -> bool:
    """YYMMDD with a possible month and day (the century is unknown, so 29 February always passes)."""
    month, day = int(digits[2:4]), int(digits[4:6])
    return 1 <= month <= 12 and 1 <= day <= (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


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


def ean_check(digits: str) -> bool:
    """Check digit of a 13-digit article number (880… is Korea): those are not resident numbers."""
    return sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0


def _around(text: str, start: int, end: int, before: int = 30, after: int = 0) -> str:
    return text[max(0, start - before) : start] + " " + text[end : end + after]


_EMAIL = re.compile(
    r"(?:(?<![A-Za-z0-9._%+\-])(?P<user>[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63})(?:@| ?(?:\(at\)|\[at\]|골뱅이|앳) ?| (?P<wide>@) | (?P<word>at) )"
    r"|(?<![가-힣A-Za-z0-9])(?P<name>[가-힣]{2,10})@)"
    r"(?P<host>(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62})\.){1,5}(?P<tld>[A-Za-z]{2,12}))(?![A-Za-z0-9\-])"
)  # fmt: skip
_NO_TLD = {"png", "jpg", "jpeg", "gif", "svg", "webp", "js", "mjs", "ts", "tsx", "css", "html", "md", "json", "py", "java", "local",
           "localhost", "test", "example", "invalid", "internal"}  # fmt: skip
_EXAMPLE_HOST = re.compile(r"(?:^|\.)(?:example|test|domain|yourdomain|mydomain|foo|bar)\.[A-Za-z.]+$", re.I)


_PROVIDER = re.compile(
    r"(?:naver|daum|hanmail|gmail|nate|kakao|hotmail|outlook|yahoo|icloud|korea|empas|dreamwiz)\.(?:com|net|co\.kr|kr)",
    re.I,
)
_VERSION_HOST = re.compile(
    r"(?!(?:126|139|163|188)\.com$)\d+\."
)  # node@18.0.0; the exceptions are Chinese mail


def _emails(text: str) -> Iterator[Found]:
    if "@" not in text and "at" not in text and "골뱅이" not in text and "앳" not in text:
        return
    for m in _EMAIL.finditer(text):
        if (m["wide"] or m["name"]) and m["tld"].lower() not in ("com", "net", "kr", "org"):
            continue
        if (m["word"] and not _PROVIDER.fullmatch(m["host"])) or _VERSION_HOST.match(m["host"]):
            continue
        if (
            m["tld"].lower() in _NO_TLD
            or _EXAMPLE_HOST.search(m["host"])
            or (m["user"] or "").lower() in ("git", "noreply", "no-reply")
        ):
            continue
        yield Found(m.start(), m.end(), "email")


_SIX_SEVEN = re.compile(r"(?<!\d)(?<!\d-)(\d{6})(\s?[-–‐‑‒−]\s?| |)(\d{7}|[1-8]\*{6})(?!\d)(?!-\d)")
_RRN_WORD = re.compile("주민|외국인등록|생년월일|등록번호")
_RRN_NEAR = re.compile("주민|등록")
_CORPORATE_WORD = re.compile("법인")


def _resident_numbers(text: str) -> Iterator[Found]:
    for m in _SIX_SEVEN.finditer(text):
        first, dash, last = m.groups()
        digits = first + last
        if not digits.strip("0"):
            continue
        around = _around(text, m.start(), m.end(), 25)
        corporate = _CORPORATE_WORD.search(around) is not None
        dated = valid_date(first)
        if dash == " ":  # two numbers side by side, unless the words say otherwise
            if dated and last[0] in "12345678" and _RRN_NEAR.search(around) and not corporate:
                yield Found(m.start(), m.end(), "foreigner" if last[0] in "5678" else "rrn")
            continue
        if "*" in last:
            if dated:
                yield Found(m.start(), m.end(), "foreigner" if last[0] in "5678" else "rrn")
            continue
        if dated and not corporate:
            plain = bool(dash) and (last[0] in "12345678" or rrn_check(digits))
            bare = not dash and (
                _RRN_WORD.search(around)
                or (last[0] in "12345678" and rrn_check(digits) and not ean_check(digits))
            )
            if plain or bare:
                yield Found(m.start(), m.end(), "foreigner" if last[0] in "5678" else "rrn")
                continue
        if corporate or (dash and corporate_check(digits)):
            yield Found(m.start(), m.end(), "corporate")


_BUSINESS = re.compile(r"(?<!\d)(?<!\d-)\d{3}\s?-\s?\d{2}\s?-\s?\d{5}(?!\d)(?!-\d)")


def _business_numbers(text: str) -> Iterator[Found]:
    for m in _BUSINESS.finditer(text):
        digits = re.sub(r"\D", "", m.group())
        if business_check(digits) or "사업자" in _around(text, m.start(), m.end(), 25):
            yield Found(m.start(), m.end(), "business")


_CARD = re.compile(
    r"(?<!\d)(?<!\d-)(?:[34569]\d{3}([- ])\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([- ])\d{6}\2\d{5}|[34569]\d{14,15})(?!\d)(?!-\d)"
)
_CARD_WORD = re.compile("카드|card|Card|CARD")


def _cards(text: str) -> Iterator[Found]:
    for m in _CARD.finditer(text):
        digits = re.sub(r"\D", "", m.group())
        grouped = m.group(1) or m.group(2)
        if luhn(digits) and (grouped or _CARD_WORD.search(_around(text, m.start(), m.end(), 30))):
            yield Found(m.start(), m.end(), "card")


_REGIONS = "서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산|세종"
_DRIVER = re.compile(rf"(?<![\d-])(?:(?:1[1-9]|2[0-68])-|(?:{_REGIONS})\s?)\d{{2}}-\d{{6}}-\d{{2}}(?![\d-])")
_PASSPORT = re.compile(r"(?<![A-Za-z0-9])(?:[MSRGD]\d{8}|[MSRGD]\d{3}[A-Z]\d{4})(?![A-Za-z0-9])")
_PASSPORT_WORD = re.compile("여권|[Pp]assport|PASSPORT")


def _drivers(text: str) -> Iterator[Found]:
    for m in _DRIVER.finditer(text):
        yield Found(m.start(), m.end(), "driver")


def _passports(text: str) -> Iterator[Found]:
    for m in _PASSPORT.finditer(text):
        if _PASSPORT_WORD.search(_around(text, m.start(), m.end(), 30, 20)):
            yield Found(m.start(), m.end(), "passport")


# Between the groups of a number: any dash, dot or blank, with blanks around it.
_GAP = r"(?: ?[-–‐‑‒−. ·] ?)"
_GAP_1 = r"(?: ?[-–‐‑‒−. ·)]{1,2} ?)"
_PHONE = re.compile(
    r"(?<!\d)(?<!\d[-.])(?:"
    r"\+82[-–‐‑‒−. ]?\(?0?\)?\d{1,2}[-–‐‑‒−. )]{0,2}\d{3,4}[-–‐‑‒−. ]?\d{4}"
    rf"|82{_GAP}10{_GAP}\d{{4}}{_GAP}\d{{4}}"
    rf"|\(?01[016789]\)?{_GAP_1}?\d{{3,4}}{_GAP}?\d{{4}}"
    rf"|\(?02\)?{_GAP_1}\d{{3,4}}{_GAP}\d{{4}}"
    rf"|\(?0(?:3[1-3]|4[1-4]|5[1-5]|6[1-4])\)?{_GAP_1}\d{{3,4}}{_GAP}\d{{4}}"
    rf"|070{_GAP_1}?\d{{4}}{_GAP}?\d{{4}}|050[2-8]{_GAP_1}?\d{{3,4}}{_GAP}?\d{{4}}"
    rf"|(?P<public>080{_GAP_1}\d{{3,4}}{_GAP}\d{{4}}|1[568]\d{{2}}[-–‐‑‒−]\d{{4}}(?![A-Za-z년]))"
    r")(?!\d)(?!-\d)"
)  # fmt: skip
_PUBLIC_PREFIX = frozenset(
    "1522 1533 1544 1566 1577 1588 1599 1600 1611 1644 1660 1661 1666 1668 1670 1688 1800 1811 1833 1855 1866 1877 1899".split()
)


_REFERENCE = re.compile(r"(?:문서|승인|접수|주문)\s?번호\s?[:은는]?\s?$")
_NUMBERED = re.compile(r"\s?호(?!텔|출|실)")
_ADDRESS_PATH = re.compile(r"[A-Za-z0-9-]\.[A-Za-z]{2,}(?::\d+)?/[^\s?=]*$")


def _is_reference(text: str, start: int, end: int) -> bool:
    """Is the number the name of a document or of a page, not a line to a person?"""
    before = text[max(0, start - 200) : start]
    return (
        _REFERENCE.search(before[-12:]) is not None
        or _NUMBERED.match(text, end) is not None
        or ("/" in before and _ADDRESS_PATH.search(before) is not None)
    )


def _phones(text: str) -> Iterator[Found]:
    for m in _PHONE.finditer(text):
        if _is_reference(text, m.start(), m.end()):
            continue
        if public := m["public"]:
            if public[0] == "0" or public[:4] in _PUBLIC_PREFIX:  # 1592-1598 are years of a war, not a line
                yield Found(m.start(), m.end(), "public_phone")
            continue
        yield Found(m.start(), m.end(), "phone")


_ACCOUNT = re.compile(
    r"(?<![\d.])(?<!\d-)\d{2,6}(?:-\d{1,7}){1,3}(?![\d])(?!-\d)|(?<![\d.-])\d{10,14}(?![\d-])"
)
_ACCOUNT_WORD = re.compile(
    "계좌|입금|예금주|송금|농협|카카오뱅크|토스뱅크|케이뱅크|수협|새마을금고|신협|우체국|(?:국민|신한|우리|하나|기업|산업|대구|부산|경남|광주|전북|제주|씨티|제일|수출입)은행"
)
_AMOUNT = re.compile(r"\s?[원개명만억](?!의|설)")
_DATE_LIKE = re.compile(r"(?:19|20)\d\d-\d{1,2}-\d{1,2}$|\d{4}-\d{4}$")


def _accounts(text: str) -> Iterator[Found]:
    if not _ACCOUNT_WORD.search(text):
        return
    for m in _ACCOUNT.finditer(text):
        value = m.group()
        count = sum(c.isdigit() for c in value)
        if (
            10 <= count <= 14
            and not (value.isdigit() and _AMOUNT.match(text, m.end()))
            and not _is_reference(text, m.start(), m.end())
            and not _DATE_LIKE.fullmatch(value)
            and _ACCOUNT_WORD.search(_around(text, m.start(), m.end(), 30, 12))
        ):
            yield Found(m.start(), m.end(), "account")


_PLATE = re.compile(
    rf"(?<![\d가-힣])(?P<region>(?:{_REGIONS})\s?)?(?P<front>\d{{2,3}})"
    r"(?P<letter>[가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자배하허호])(?P<gap>\s?)\d{4}(?!\d)(?!\s?[억만원명개년월일호조%])"
)
_PLATE_WORD = re.compile(
    "차량|번호판|자동차|승용차|택시|차번호|렌터카|렌트카|트럭|화물차|버스|승합차|주차|번호의? 차|오토바이"
)
_CASE_WORD = re.compile("판결|선고|결정|사건|대법원|법원|헌재|항소|상고|공보|참조")


def _plates(text: str) -> Iterator[Found]:
    for m in _PLATE.finditer(text):
        around = _around(text, m.start(), m.end(), 30, 12)
        if _CASE_WORD.search(around):  # 98다1234 is a court case
            continue
        long = (
            len(m["front"]) == 3 and m["front"][0] != "0" and not m["gap"] and m["letter"] not in "조호도주"
        )
        if m["region"] or long or _PLATE_WORD.search(around):
            yield Found(m.start(), m.end(), "plate")


_PROVINCE = (
    "서울(?:특별시|시)?|(?:부산|대구|인천|광주|대전|울산)(?:광역시|시)?|세종(?:특별자치시|시)?|경기(?:도)?|강원(?:특별자치도|도)?|"
    "충청[남북]도|충[남북]|전라[남북]도|전[남북]|전북특별자치도|경상[남북]도|경[남북]|제주(?:특별자치도|도)?"
)
_ADDRESS = re.compile(
    rf"(?:{_PROVINCE})\s+(?:[가-힣]{{1,5}}[시군구]\s+){{1,2}}(?:[가-힣]{{1,5}}[읍면]\s+)?"
    r"(?:[가-힣0-9·.]{1,12}(?:로|길)(?:\s?\d{1,4}번?[가-힣]?길)?|[가-힣]{1,7}\d{0,2}(?:동|리|가))\s*"
    r"(?P<number>(?:지하\s?|산\s?)?\d{1,5}(?:-\d{1,4}|번?지?의 ?\d{1,4})?(?:번지)?(?:[\s,]+(?:[가-힣A-Za-z0-9]{1,15}(?:아파트|빌라|빌딩|타워|오피스텔|맨션)[\s,]*)?"
    r"(?:\d{1,4}동[\s,]*)?(?:(?:지하\s?)?\d{1,3}층[\s,]*)?\d{1,4}호|(?:[\s,]+\d{1,4}층))?)(?![\d가])"
)  # fmt: skip


def _addresses(text: str) -> Iterator[Found]:
    for m in _ADDRESS.finditer(text):
        yield Found(m.start("number"), m.end("number"), "address")


_IP = re.compile(
    r"(?<![\d.\-/A-Za-z])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\d.\-])(?!\s?(?:조|항|절|장|버전|판))(?!\.\d)"
)
_VERSION_WORD = re.compile(
    r"(?:버전|버젼|[Vv]ersion|[Vv]er\.?|릴리스|릴리즈|빌드|커널|펌웨어|드라이버|[Kk]ernel|[Ff]irmware|[Ll]inux|제|v|V)\s*$|[A-Za-z]+/$"
)


_HEADING = re.compile(
    r" +(?!(?:에서|에|로|으로|은|는|이|가|을|를|의|와|과|도|번|서버|주소|접속|포트)(?![가-힣])|서버|주소|접속|포트)[가-힣]"
)


def _ips(text: str) -> Iterator[Found]:
    for m in _IP.finditer(text):
        a, b, c, d = (int(x) for x in m.groups())
        if max(a, b, c, d) > 255 or any(len(x) > 1 and x[0] == "0" for x in m.groups()):
            continue
        private = (
            a in (0, 10, 127)
            or a >= 224
            or (a, b) in ((192, 168), (169, 254))
            or (a == 172 and 16 <= b <= 31)
        )
        documented = (a, b, c) in (
            (192, 0, 2),
            (198, 51, 100),
            (203, 0, 113),
            (8, 8, 8),
            (1, 1, 1),
            (8, 8, 4),
        ) or a < 4
        section = (
            max(a, b, c, d) < 50
            and text[max(0, m.start() - 20) : m.start()].rpartition("\n")[2].strip() == ""
            and _HEADING.match(text, m.end())
        )
        if section or private or documented or _VERSION_WORD.search(text[max(0, m.start() - 12) : m.start()]):
            continue
        yield Found(m.start(), m.end(), "ip")


_LONG_NUMBER = re.compile(r"\d[\d\-–‐‑‒−. )·*]{5,}[\d*]")
_ANY_DIGIT = re.compile(r"\d{2}")
# Earlier kinds win where two overlap.
_BY_NUMBER: tuple[Callable[[str], Iterator[Found]], ...] = (
    _resident_numbers, _business_numbers, _cards, _drivers, _phones, _accounts, _ips,
)  # fmt: skip
_OTHERS: tuple[Callable[[str], Iterator[Found]], ...] = (_passports, _plates, _addresses)


def find(text: str) -> list[Found]:
    """All personal data in a normalised text, in order, not overlapping."""
    found = list(_emails(text))
    if _ANY_DIGIT.search(text):
        if _LONG_NUMBER.search(text):
            for detect in _BY_NUMBER:
                found.extend(detect(text))
        for detect in _OTHERS:
            found.extend(detect(text))
    elif _ADDRESS.search(text):
        found.extend(_addresses(text))
    taken: list[Found] = []
    for item in found:
        place = bisect(taken, item)
        if (not place or taken[place - 1].end <= item.start) and (
            place == len(taken) or taken[place].start >= item.end
        ):
            taken.insert(place, item)
    return taken


class Masked(NamedTuple):
    """A text with tags in place of personal data, and where the tags stand in it (ranges of the NEW text)."""

    text: str
    found: list[Found]


def mask(text: str, config: PiiConfig) -> Masked:
    """Replace personal data by tags as the config says."""
    if config.mode == "off":
        return Masked(text, [])
    found = [item for item in find(text) if item.kind not in config.keep]
    if not found:
        return Masked(text, [])
    pieces: list[str] = []
    placed: list[Found] = []
    position = length = 0
    for item in found:
        before = text[position : item.start]
        tag = TAGS[item.kind]
        pieces += (before, tag)
        length += len(before)
        placed.append(Found(length, length + len(tag), item.kind))
        length += len(tag)
        position = item.end
    pieces.append(text[position:])
    return Masked("".join(pieces), placed)
