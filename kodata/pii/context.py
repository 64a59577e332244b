"""Words around a number that say what it is: the second half of the evidence."""

from __future__ import annotations

import re

RRN = re.compile("주민|외국인등록|생년월일|등록번호")
RRN_NEAR = re.compile("주민|등록")
CORPORATE = re.compile("법인")
COMPANY = re.compile(r"회사|상호|본점|㈜|\(주\)")
_LABEL = re.compile("(?P<person>주민|외국인|생년월일)|(?P<corporate>법인)")
BUSINESS = re.compile("사업자")
CARD = re.compile("카드|card", re.I)
DRIVER = re.compile("면허")
PASSPORT = re.compile("여권|passport", re.I)
ACCOUNT = re.compile(
    "계좌|입금|예금주|송금|농협|카카오뱅크|토스뱅크|케이뱅크|수협|새마을금고|신협|우체국|(?:국민|신한|우리|하나|기업|산업|대구|부산|경남|광주|전북|제주|씨티|제일|수출입)은행"
)
PLATE = re.compile(
    "차량|번호판|자동차|승용차|택시|차번호|렌터카|렌트카|차주|트럭|화물차|버스|승합차|주차|번호의? 차|오토바이"
)
CASE = re.compile("판결|선고|결정|사건|대법원|법원|헌재|항소|상고|공보|참조")
AMOUNT = re.compile(r" ?[원개명만억](?!의|설)")
VERSION = re.compile(
    r"(?:버전|버젼|[Vv]ersion|[Vv]er\.?|릴리스|릴리즈|빌드|커널|펌웨어|드라이버|[Kk]ernel|[Ff]irmware|[Ll]inux|제|v|V)\s*$|[A-Za-z]+/$"
)
HEADING = re.compile(
    r" +(?!(?:에서|에|로|으로|은|는|이|가|을|를|의|와|과|도|번|서버|주소|접속|포트)(?![가-힣])|서버|주소|접속|포트)[가-힣]"
)
INSTITUTION = re.compile(
    "(?:구청|시청|군청|도청|읍사무소|면사무소|주민센터|행정복지센터|경찰서|파출소|지구대|소방서|보건소|우체국|세무서|등기소|법원|검찰청|교육청|교육지원청"
    "|민원실|민원과|콜센터|고객센터|상담센터|상담소|지원센터|도서관|박물관|미술관|공단|공사|[가-힣]{2,}(?:청|(?<!연락)(?<!거래)처|과|팀|실))"
    "(?: |대표|전화|번호|문의|☎|TEL|Tel|[(:：.은는])*$"
)
_REFERENCE = re.compile(r"(?:문서|승인|접수|주문|운송장|송장|등기|고유|관리|일련)\s?번호\s?[:은는]?\s?$")
_ISBN = re.compile(r"(?:ISBN|ISSN|KS|특허|출원|등록)\s?(?:-?1[03])?\s?(?:제|번호)?\s?[:은는]?\s?$", re.I)
_NUMBERED = re.compile(r" ?호(?!텔|출|실)")
_ADDRESS_PATH = re.compile(r"[A-Za-z0-9-]\.[A-Za-z]{2,}(?::[0-9]+)?/[^\s?=]*$")


def around(text: str, start: int, end: int, before: int = 30, after: int = 0) -> str:
    """The characters before and after a place, a blank where it stood."""
    return text[max(0, start - before) : start] + " " + text[end : end + after]


def on_line(text: str, start: int, end: int, before: int = 15, after: int = 12) -> str:
    """The same, but nothing of other lines."""
    return (
        text[max(0, start - before) : start].rpartition("\n")[2]
        + " "
        + text[end : end + after].partition("\n")[0]
    )


def names_corporate(text: str, start: int) -> bool:
    """Is 법인 the last label before the number, rather than a word for a person's number?"""
    labels = list(_LABEL.finditer(text, max(0, start - 25), start))
    return bool(labels) and labels[-1]["corporate"] is not None


def is_reference(text: str, start: int, end: int) -> bool:
    """Is the number the name of a document, a book or a page, not a line to a person?"""
    before = text[max(0, start - 200) : start]
    return (
        _REFERENCE.search(before[-14:]) is not None
        or _ISBN.search(before[-14:]) is not None
        or _NUMBERED.match(text, end) is not None
        or ("/" in before and _ADDRESS_PATH.search(before) is not None)
    )


def is_institution(text: str, start: int) -> bool:
    """Does a public office or a service desk stand right before the number?"""
    return INSTITUTION.search(text[max(0, start - 25) : start].rpartition("\n")[2]) is not None
