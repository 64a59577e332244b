"""Korean spam by co-occurrence: families of words, ways to be reached, and the words of people who report on it.

One hit in long prose never makes spam: a paper about gambling and the news of an arrest stay. What makes spam is density
together with a second family or a contact.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Weight 2: hardly ever outside advertising. Weight 1: ordinary words that advertising repeats.
FAMILIES: dict[str, dict[str, int]] = {
    "gambling": {
        "카지노사이트": 2, "온라인카지노": 2, "카지노추천": 2, "카지노주소": 2, "바카라사이트": 2, "토토사이트": 2, "사설토토": 2,
        "안전놀이터": 2, "메이저놀이터": 2, "먹튀검증": 2, "먹튀사이트": 2, "슬롯사이트": 2, "릴게임": 2, "꽁머니": 2, "홀덤사이트": 2,
        "파워볼사이트": 2, "가입머니": 2, "첫충": 2, "스포츠토토": 1, "카지노": 1, "바카라": 1, "토토": 1, "파워볼": 1, "바다이야기": 1,
        "배팅": 1, "먹튀": 1,
    },
    "adult": {
        "출장안마": 2, "출장마사지": 2, "출장만남": 2, "출장샵": 2, "출장서비스": 2, "콜걸": 2, "조건만남": 2, "폰섹": 2, "섹파": 2,
        "애인대행": 2, "룸알바": 2, "유흥알바": 2, "립카페": 2, "건마": 1, "마사지샵": 1, "스웨디시": 1, "야동": 1, "성인용품": 1, "홈타이": 1,
    },
    "loan": {
        "작업대출": 2, "내구제": 2, "무직자대출": 2, "당일대출": 2, "연체자대출": 2, "신불자대출": 2, "소액결제현금화": 2,
        "신용카드현금화": 2, "정보이용료현금화": 2, "상품권현금화": 2, "카드깡": 2, "휴대폰깡": 2, "일수대출": 2, "급전": 1, "개인돈": 1, "대출": 1,
    },
    "pharma": {"비아그라": 1, "시알리스": 1, "레비트라": 1, "최음제": 2, "물뽕": 2, "발기부전": 1, "정품구매": 1},
    "shady": {
        "흥신소": 1, "심부름센터": 1, "떼인돈": 2, "대포통장": 1, "대포폰": 1, "해킹의뢰": 2, "리딩방": 1, "급등주추천": 2, "무료종목추천": 2,
        "개인정보판매": 2, "디비판매": 2,
    },
}  # fmt: skip
_WORDS = tuple((word, weight, family) for family, words in FAMILIES.items() for word, weight in words.items())
_SEPARATORS = str.maketrans("", "", " \t\n.,-_*·ㆍ~^|/+'\"[](){}♡♥★☆▶")
_CONTACT = re.compile(
    r"(?<!\d)01[016789][-. )]?\d{3,4}[-. ]?\d{4}(?!\d)"
    r"|(?:카톡|카카오톡|ㅋㅌ|텔레그램|텔레|라인|위챗)\s*(?:아이디|ID|문의|상담|주소)?\s*[:：@]\s*@?[A-Za-z0-9_]{3,}"
    r"|(?:가입|추천|추천인)\s*코드|24\s*시간?\s*(?:상담|문의)|상담\s*환영|문의\s*주세요|\[전화번호\]",
    re.I,
)  # fmt: skip
_URL = re.compile(
    r"https?://|www\.|(?<![\w.])[a-z0-9-]{2,20}\.(?:com|net|kr|me|vip|xyz|bet|site)(?![\w])", re.I
)
_REPORT = re.compile(
    "경찰|검찰|혐의|구속|단속|법원|재판|판결|피고인|연구|논문|규제|처벌|위반|수사|조사|예방|피해자|금지"
)
WITH_TWO_FAMILIES, WITH_CONTACT, ALONE = 2.0, 5.0, 20.0


class Spam(NamedTuple):
    """Weighted hits per 100 eojeol, and the limit the other evidence sets for them."""

    score: float
    limit: float
    families: tuple[str, ...]

    @property
    def found(self) -> bool:
        """True when the text is spam."""
        return self.score >= self.limit


def spam(text: str, eojeol: int) -> Spam:
    """Score one text. `eojeol`: its number of words."""
    solid = text.translate(_SEPARATORS)
    hits = weight = 0
    families: set[str] = set()
    for word, value, family in _WORDS:
        if word in solid:
            n = solid.count(word)
            hits += n
            weight += n * value
            families.add(family)
    if hits < 3:
        return Spam(0.0, ALONE, tuple(sorted(families)))
    contacts = len(_CONTACT.findall(text)) + (len(_URL.findall(text)) >= 2)
    limit = ALONE
    if contacts:
        limit = WITH_TWO_FAMILIES if len(families) >= 2 else WITH_CONTACT
    # People who write about it use other words; those who sell it do not.
    reports = len(_REPORT.findall(text))
    if reports >= 3 and reports * 100 >= eojeol:
        limit = max(limit, ALONE) * 2
    return Spam(100 * weight / max(eojeol, 20), limit, tuple(sorted(families)))
