"""Detectors of ways to reach a person: e-mail, telephone, address, IP address. Each yields places in order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kodata.pii import context
from kodata.pii.found import STAND_IN, Found
from kodata.pii.numbers import digits_of

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
# node@18.0.0; the exceptions are Chinese mail
_VERSION_HOST = re.compile(r"(?!(?:126|139|163|188)\.com$)[0-9]+\.")


def emails(text: str) -> Iterator[Found]:
    """E-mail addresses, also `name (at) host`, with ASCII boundaries: a Hangul letter before one is not part of it."""
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


# Between the groups of a number: any dash, dot or blank, with blanks around it.
_GAP = r"(?: ?[-–‐‑‒−. ·] ?)"
_GAP_1 = r"(?: ?[-–‐‑‒−. ·)]{1,2} ?)"
_D = "[0-9]"
_PHONE = re.compile(
    r"(?<![0-9])(?<![0-9][-.])(?:"
    rf"\+82[-–‐‑‒−. ]?\(?0?\)?{_D}{{1,2}}[-–‐‑‒−. )]{{0,2}}{_D}{{3,4}}[-–‐‑‒−. ]?{_D}{{4}}"
    rf"|82{_GAP}10{_GAP}{_D}{{4}}{_GAP}{_D}{{4}}"
    rf"|\(?01[016789]\)?{_GAP_1}?{_D}{{3,4}}{_GAP}?{_D}{{4}}"
    rf"|(?P<land>\(?02\)?{_GAP_1}{_D}{{3,4}}{_GAP}{_D}{{4}}"
    rf"|\(?0(?:3[1-3]|4[1-4]|5[1-5]|6[1-4])\)?{_GAP_1}{_D}{{3,4}}{_GAP}{_D}{{4}})"
    rf"|070{_GAP_1}?{_D}{{4}}{_GAP}?{_D}{{4}}|050[2-8]{_GAP_1}?{_D}{{3,4}}{_GAP}?{_D}{{4}}"
    rf"|(?P<public>080{_GAP_1}{_D}{{3,4}}{_GAP}{_D}{{4}}|1[568]{_D}{{2}}[-–‐‑‒−]{_D}{{4}}(?![A-Za-z년]))"
    r")(?![0-9])(?!-[0-9])"
)  # fmt: skip
_PUBLIC_PREFIX = frozenset(
    "1522 1533 1544 1566 1577 1588 1599 1600 1611 1644 1660 1661 1666 1668 1670 1688 1800 1811 1833 1855 1866 1877 1899".split()
)


def phone_parts(value: str) -> tuple[str, str]:
    """(area or network, subscriber) of a telephone number, digits only, national form: 010 and 12345678."""
    digits = digits_of(value)
    if digits.startswith("82"):
        digits = "0" + digits[2:].lstrip("0")
    if digits[0] == "1":
        return digits[:4], digits[4:]
    area = 2 if digits.startswith("02") else 4 if digits.startswith("050") else 3
    return digits[:area], digits[area:]


def phones(text: str) -> Iterator[Found]:
    """Telephone numbers. No exchange begins with 0: such a number is a stand-in."""
    for m in _PHONE.finditer(text):
        if context.is_reference(text, m.start(), m.end()):
            continue
        area, subscriber = phone_parts(m.group())
        if area[0] != "1" and subscriber[0] == "0":
            yield Found(m.start(), m.end(), STAND_IN)
        elif m["public"]:
            if area == "080" or area in _PUBLIC_PREFIX:  # 1592-1598 are years of a war, not a line
                yield Found(m.start(), m.end(), "public_phone")
        elif m["land"] and context.is_institution(text, m.start()):
            yield Found(m.start(), m.end(), "institution_phone")
        else:
            yield Found(m.start(), m.end(), "phone")


_PROVINCE = (
    "서울(?:특별시|시)?|(?:부산|대구|인천|광주|대전|울산)(?:광역시|시)?|세종(?:특별자치시|시)?|경기(?:도)?|강원(?:특별자치도|도)?|"
    "충청[남북]도|충[남북]|전라[남북]도|전[남북]|전북특별자치도|경상[남북]도|경[남북]|제주(?:특별자치도|도)?"
)
_ADDRESS = re.compile(
    rf"(?:{_PROVINCE})\s+(?:[가-힣]{{1,5}}[시군구]\s+){{0,2}}(?:[가-힣]{{1,5}}[읍면]\s+)?"
    r"(?:[가-힣0-9·.]{1,12}(?:로|길)(?:\s?[0-9]{1,4}번?[가-힣]?길)?|[가-힣]{1,7}[0-9]{0,2}(?:동|리|가))\s*"
    r"(?P<number>(?:지하\s?|산\s?)?[1-9][0-9]{0,4}(?:-[0-9]{1,4}|번?지?의 ?[0-9]{1,4})?(?:번지)?(?:[\s,]+(?:[가-힣A-Za-z0-9]{1,15}(?:아파트|빌라|빌딩|타워|오피스텔|맨션)[\s,]*)?"
    r"(?:[0-9]{1,4}동[\s,]*)?(?:(?:지하\s?)?[0-9]{1,3}층[\s,]*)?[0-9]{1,4}호|(?:[\s,]+[0-9]{1,4}층))?)(?![0-9가]|번?[가-힣]?길)"
)  # fmt: skip
_NO_HOUSE = re.compile(
    r" ?(?:년|월|일|시(?!\s?[가-힣]+구)|명|원|개|대|㎞|km|번\s?국도|회|차(?!로)|%|여|억|만|위|세|호선|층짜리)"
)
_DISTRICT = re.compile(r"[가-힣]{1,5}[시군구읍면]\s")


def addresses(text: str) -> Iterator[Found]:
    """House numbers of Korean addresses, by road or by lot, with what stands behind them (동, 층, 호)."""
    for m in _ADDRESS.finditer(text):
        district = _DISTRICT.search(m.group()) is not None or m.group().startswith("세종")
        if district and not _NO_HOUSE.match(text, m.end()):
            yield Found(m.start("number"), m.end("number"), "address")


_IP = re.compile(
    r"(?<![0-9.\-/A-Za-z])([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9.\-])(?!\s?(?:조|항|절|장|버전|판))(?!\.[0-9])"
)
_DOCUMENTED = ((192, 0, 2), (198, 51, 100), (203, 0, 113), (8, 8, 8), (1, 1, 1), (8, 8, 4))


def ips(text: str) -> Iterator[Found]:
    """Public IPv4 addresses: no versions, sections, private, documentation or resolver addresses."""
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
        section = (
            max(a, b, c, d) < 50
            and text[max(0, m.start() - 20) : m.start()].rpartition("\n")[2].strip() == ""
            and context.HEADING.match(text, m.end())
        )
        if private or section or (a, b, c) in _DOCUMENTED or a < 4:
            continue
        if context.VERSION.search(text[max(0, m.start() - 12) : m.start()]):
            continue
        yield Found(m.start(), m.end(), "ip")
