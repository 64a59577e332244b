"""Korean perturbations of real text at stated intensities, and hard negatives: for the near-duplicate benchmark and the scale curve.

Every function takes (text, random.Random) and changes at most the share its name in CLASSES says.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

PARTICLES = {
    "은": "이", "는": "가", "이": "은", "가": "는", "을": "은", "를": "는", "에서": "에", "에": "에서", "와": "하고", "과": "하고",
    "도": "까지", "로": "에", "으로": "에", "의": "", "까지": "도", "부터": "에서", "에게": "한테", "한테": "에게",
}  # fmt: skip
LAST = re.compile(r"(에서|으로|까지|부터|에게|한테|[은는이가을를에와과도로의])$")
SENTENCE = re.compile(r"(?<=[.!?])[ \n]+|\n+")


def _eojeols(text: str) -> list[str]:
    return re.split(r"(\s+)", text)


def particles(text: str, rng: random.Random, share: float = 0.05) -> str:
    """Change the particle of at most `share` of the eojeols."""
    pieces = _eojeols(text)
    able = [i for i in range(0, len(pieces), 2) if len(pieces[i]) > 2 and LAST.search(pieces[i])]
    for i in rng.sample(able, min(len(able), int(share * (len(pieces) + 1) / 2))):
        pieces[i] = LAST.sub(lambda m: PARTICLES[m[1]], pieces[i])
    return "".join(pieces)


def spacing(text: str, rng: random.Random, share: float = 0.10) -> str:
    """Join or split at most `share` of the eojeols."""
    pieces = _eojeols(text)
    count = int(share * (len(pieces) + 1) / 2)
    for i in rng.sample(range(0, len(pieces), 2), min(count, len(pieces[::2]))):
        if i + 1 < len(pieces) and pieces[i + 1] == " " and rng.random() < 0.6:
            pieces[i + 1] = ""
        elif len(pieces[i]) > 3:
            cut = rng.randrange(2, len(pieces[i]) - 1)
            pieces[i] = f"{pieces[i][:cut]} {pieces[i][cut:]}"
    return "".join(pieces)


def typos(text: str, rng: random.Random, share: float = 0.02) -> str:
    """Change vowel or final consonant of at most `share` of the syllables, or swap one with its neighbour."""
    letters = list(text)
    able = [i for i, c in enumerate(letters) if "가" <= c <= "힣"]
    for i in rng.sample(able, int(share * len(able))):
        code = ord(letters[i]) - 0xAC00
        initial, vowel, final = code // 588, code // 28 % 21, code % 28
        if rng.random() < 0.5:
            vowel = (vowel + rng.choice((-1, 1))) % 21
        else:
            final = rng.choice((0, 1, 4, 8, 16, 17, 19, 21))
        letters[i] = chr(0xAC00 + initial * 588 + vowel * 28 + final)
    return "".join(letters)


def boilerplate(text: str, rng: random.Random) -> str:
    """Another byline and another foot: at most some 150 characters around the text."""
    name = rng.choice(("김하늘", "박세린", "이도담", "최가온", "정누리"))
    paper = rng.choice(("한빛일보", "새벽뉴스", "가람통신", "온누리타임스"))
    head = rng.choice((f"({paper}) {name} 기자 =", f"[{paper} {name} 기자]", f"입력 2024.0{rng.randint(1, 9)}.1{rng.randint(0, 9)} 09:3{rng.randint(0, 9)}\n"))  # fmt: skip
    foot = rng.choice((f"저작권자 ⓒ {paper} 무단 전재 및 재배포 금지", f"{name} 기자의 다른 기사 보기\n공유하기\n댓글 {rng.randint(0, 99)}개"))  # fmt: skip
    return f"{head} {text}\n\n{foot}"


def order(text: str, rng: random.Random, share: float = 0.2) -> str:
    """Move at most `share` of the sentences to other places."""
    sentences = [s for s in SENTENCE.split(text) if s.strip()]
    for _ in range(max(1, int(share * len(sentences)))):
        sentence = sentences.pop(rng.randrange(len(sentences)))
        sentences.insert(rng.randrange(len(sentences) + 1), sentence)
    return " ".join(sentences)


def truncation(text: str, rng: random.Random, least: float = 0.05, most: float = 0.15) -> str:
    """Cut off between `least` and `most` of the end."""
    return text[: int(len(text) * (1 - rng.uniform(least, most)))]


CLASSES: dict[str, tuple[Callable[..., str], bool]] = {
    "조사 (particles, 5 % of eojeols)": (particles, True),
    "띄어쓰기 (spacing, 10 %)": (spacing, True),
    "오타 (typos, 2 % of syllables)": (typos, True),
    "기자명·틀 (byline, boilerplate)": (boilerplate, True),
    "문장 순서 (20 % of sentences moved)": (order, True),
    "잘림 (truncation, 5-15 %)": (truncation, True),
    "잘림 (truncation, 30-50 %)": (lambda t, r: truncation(t, r, 0.3, 0.5), False),
    "조사 (particles, 15 %)": (lambda t, r: particles(t, r, 0.15), False),
    "오타 (typos, 5 %)": (lambda t, r: typos(t, r, 0.05), False),
}
"""Name -> (perturbation, whether a person would call it the same document: gated)."""


def mixed(text: str, rng: random.Random) -> str:
    """One gated perturbation, drawn: documents of the scale curve."""
    return rng.choice([change for change, gated in CLASSES.values() if gated])(text, rng)


# ---- hard negatives: other documents that look alike ------------------------------------------------

PLACES = (
    "해오름시",
    "달빛군",
    "너른구",
    "솔내읍",
    "물안면",
    "가람동",
    "느티마을",
    "한울시",
    "새터군",
    "바람섬",
)
GIVEN = ("김서윤", "이도현", "박하린", "최민재", "정유나", "강지호", "윤서아", "임건우", "한예린", "오태양")
WORK = ("상수도관 교체", "변압기 점검", "가로등 보수", "하수관 준설", "도로 재포장", "승강기 검사", "가스 배관 점검", "통신선 정비")  # fmt: skip
REASON = ("노후 시설의 안전을 확보하기 위하여", "여름철 사고를 예방하고자", "주민 불편을 덜기 위하여", "정기 계획에 따라")  # fmt: skip


def other_numbers(rng: random.Random) -> str:
    """A market report: the same words each day, other figures. Numbers are what such a document says."""

    def one(low: float, high: float) -> str:
        return f"{rng.uniform(low, high):,.2f}"

    rows = "\n".join(
        f"{name} {one(1000, 90000)} 원, 전날보다 {one(1, 900)} 원 {rng.choice(('오름', '내림'))}, 거래량 {rng.randint(1000, 999999):,}"
        for name in ("쌀", "보리", "콩", "감자", "고구마", "배추", "무", "마늘", "양파", "사과", "배", "감귤")
    )
    return f"{rng.randint(2001, 2025)}년 {rng.randint(1, 12)}월 {rng.randint(1, 28)}일 도매 시세\n{rows}\n종합 지수 {one(50, 200)}, 환율 {one(900, 1500)} 원"  # fmt: skip


def long_template(rng: random.Random) -> str:
    """A long form letter of which only the facts differ: as alike as two different documents get."""
    who, place = rng.choice(GIVEN), rng.choice(PLACES)
    return (
        f"수신: {who} 귀하\n제목: {rng.choice(WORK)} 관련 의견 제출 안내\n\n"
        "귀댁의 평안을 기원합니다. 우리 기관은 주민 여러분이 안전하고 편리하게 지내실 수 있도록 여러 시설을 돌보고 있으며, 공사에 앞서 "
        "미리 알리고 의견을 듣고자 이 글을 드립니다. 아래 내용을 살펴보시고 의견이 있으시면 정해진 기간 안에 서면이나 전자우편으로 보내 주시기 바랍니다.\n\n"
        f"1. 장소: {place} {rng.randint(1, 300)}번지 일대\n2. 내용: {rng.choice(WORK)}\n3. 기간: {rng.randint(2001, 2025)}년 {rng.randint(1, 12)}월 {rng.randint(1, 28)}일부터 "
        f"{rng.randint(2, 90)}일 동안\n4. 예산: {rng.randint(10, 9900):,}만 원\n5. 담당: {rng.choice(GIVEN)} ({rng.randint(200, 999)}-{rng.randint(1000, 9999)})\n\n"
        "보내 주신 의견은 검토한 뒤 그 결과를 알려 드리며, 기간 안에 의견이 없으면 없는 것으로 보고 일을 진행합니다. 궁금한 점은 담당자에게 물어 주시면 친절히 "
        "답하겠습니다. 고맙습니다.\n"
        f"{place}장"
    )


def template(rng: random.Random) -> str:
    """A short notice: fixed frame, other place, work, dates and people."""
    place, other = rng.sample(PLACES, 2)
    return (
        f"{place} {rng.choice(WORK)} 안내\n"
        f"{rng.choice(REASON)} {place} {rng.randint(1, 99)}번지에서 {other} 입구까지 {rng.choice(WORK)} 공사를 합니다. "
        f"기간은 {rng.randint(1, 12)}월 {rng.randint(1, 28)}일 {rng.randint(0, 12)}시부터 {rng.randint(13, 23)}시까지이며 "
        f"{rng.choice(('단수', '단전', '교통 통제', '일시 소음', '출입 제한'))}이 예상되니 {rng.choice(('물을 미리 받아 두시고', '차량을 옮겨 두시고', '우회로를 이용하시고', '창문을 닫아 두시고'))} "
        f"문의는 {rng.choice(GIVEN)} 주무관({rng.randint(200, 999)}-{rng.randint(1000, 9999)})에게 하시기 바랍니다. "
        f"현장 책임자는 {rng.choice(GIVEN)}, 시공사는 {rng.choice(PLACES)[:2]}{rng.choice(('건설', '산업', '기술', '이앤씨'))}입니다."
    )
