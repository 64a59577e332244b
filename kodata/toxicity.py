"""A toxicity score for Korean text: abusive words per eojeol, 0 to 1. It is written to meta, never a reason to drop.

A small list of stems, seen through the usual disguises: digits and dots between syllables (시1발, 씨.발), initials
(ㅅㅂ), words spelt in jamo (ㅅㅣㅂㅏㄹ), doubled finals (씹발, 싯팔), Latin keys of the Korean layout (tlqkf). Limits: it knows words, not
meaning. Hate without swearing is not seen, quoting and reclaiming are not told from abuse, and ordinary words that hold a
stem are only excepted where listed (시발점, 병신년, 새끼손가락). Use it to cut at a score of your own, or to balance a mixture.
"""

from __future__ import annotations

import re

_GAP = r"[0-9.,~*!@^_\-/·ㆍㅋㅎ]{0,2}"
# (weight, stems): syllables of a stem may stand apart by _GAP
_STRONG = ("씨발", "시발", "씨팔", "시팔", "씨빨", "싯팔", "씨바", "쓰발", "썅", "좆", "존나", "개새끼", "개색기", "개색끼", "개쉐이", "병신", "븅신",
           "등신", "지랄", "느금마", "엠창", "창녀", "걸레년", "미친놈", "미친년", "년놈", "쌍년", "쌍놈", "개년", "개놈", "씹")  # fmt: skip
_GROUP = ("한남", "한녀", "맘충", "김치녀", "된장녀", "꼴페미", "페미년", "메갈", "워마드", "틀딱", "급식충", "홍어", "전라디언", "짱깨", "쪽바리", "쪽발이", "깜둥이",
          "조선족새끼", "똥꼬충", "게이새끼", "장애인새끼", "애자새끼", "수꼴", "좌빨", "빨갱이", "토착왜구", "한남충", "쿵쾅", "보슬아치", "일베충")  # fmt: skip
_MILD = ("새끼", "새키", "쉐끼", "닥쳐", "뒤져라", "뒈져", "뒈지", "죽어라", "쓰레기", "찌질", "찐따", "역겹", "역겨", "토나", "극혐", "또라이", "돌아이",
         "양아치", "쪼다", "멍청", "주둥이", "주둥아리", "아가리", "대가리", "꼬라지", "한심", "못생", "노답", "관종",
         "발연기", "꼴값", "폭망", "재수없", "면상", "와꾸", "뻔뻔", "파렴치", "구역질", "패륜", "빠순")  # fmt: skip
_INITIALS = (
    "ㅅㅂ",
    "ㅆㅂ",
    "ㅅㅄ",
    "ㅂㅅ",
    "ㅄ",
    "ㅈㄹ",
    "ㅁㅊ",
    "ㄱㅅㄲ",
    "ㅅㄲ",
    "ㅈㄴ",
    "ㄲㅈ",
    "ㄷㅊ",
    "ㄴㄱㅁ",
    "ㅗㅗ",
)
_KEYS = ("tlqkf", "Tlqkf", "qudtls", "wlfkf", "rotoRl")
_FRIENDS = re.compile(
    r"(?<=[가-힣])(?:시발|시팔|아가리|쪼다|씹|존나|한남)|한남(?:동|대교|자|역|초)|시발(?:점|역|택시|지|선)|시발\s?자동차|병신(?:년|일주|생)|(?:소|말|개|염소|나귀|양|짐승|육축|사자|비둘기|돼지|곰|고양이|호랑이)의? 새끼"
    r"|새끼(?:손가락|발가락|줄|오리|고양이|강아지|돼지|곰|사자|거북|새|치기|를 낳|들을 낳)|지랄탄|씹(?:고|는|어|었|으|을|던|히|다|지|기|힌|혔)|존나이|쓰레기(?:통|장|봉투|종량|매립|처리|분리| 하치|를 버|를 줍|차)|[가-힣]{0,2}닥쳐(?:도|올|온|오|왔)"
)
_JAMO_RUN = re.compile("[ㄱ-ㅎㅏ-ㅣ]{4,}")
_LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_JAMO = frozenset(map(chr, range(0x3131, 0x3164)))
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_TAILS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"


def _tree(stems: list[str], gap: str) -> str:
    """One pattern for all stems that reads each first character once."""
    heads: dict[str, list[str]] = {}
    for stem in stems:
        heads.setdefault(stem[0], []).append(stem[1:])
    branches = []
    for head, tails in heads.items():
        rest = [tail for tail in tails if tail]
        tree = f"{gap}{_tree(rest, gap)}" if rest else ""
        branches.append(head + (f"(?:{tree})?" if rest and "" in tails else tree))
    return f"(?:{'|'.join(branches)})" if len(branches) > 1 else branches[0]


_WEIGHT = (
    dict.fromkeys((*_STRONG, *_INITIALS, *_KEYS), 3.0)
    | dict.fromkeys(_GROUP, 2.0)
    | dict.fromkeys(_MILD, 1.0)
)
_LEXICON = re.compile(_tree(list(_WEIGHT), _GAP))
_STRIP = re.compile(r"[^가-힣ㄱ-ㅎㅏ-ㅣA-Za-z]|(?<=[가-힣])[ㅋㅎ]+")


def _composed(run: re.Match[str]) -> str:
    """A run of jamo as syllables, where it spells some: ㅅㅣㅂㅏㄹ -> 시발."""
    jamo, made, i = run.group(), [], 0
    while i < len(jamo):
        if jamo[i] in _LEADS and i + 1 < len(jamo) and jamo[i + 1] in _VOWELS:
            lead, vowel, tail = _LEADS.index(jamo[i]), _VOWELS.index(jamo[i + 1]), 0
            i += 2
            follows = jamo[i + 1] if i + 1 < len(jamo) else ""
            if i < len(jamo) and jamo[i] in _TAILS and (not follows or follows not in _VOWELS):
                tail = _TAILS.index(jamo[i])
                i += 1
            made.append(chr(0xAC00 + (lead * 21 + vowel) * 28 + tail))
        else:
            made.append(jamo[i])
            i += 1
    return "".join(made)


def _friends(text: str, hits: list[re.Match[str]]) -> set[int]:
    """Places that ordinary words take, on the lines of the hits. No such word goes over two lines but 시발 자동차, whose second
    half is no stem."""
    found: set[int] = set()
    end = 0
    for hit in hits:
        if hit.start() < end:
            continue
        start = text.rfind("\n", 0, hit.start()) + 1
        end = text.find("\n", hit.start()) + 1 or len(text)
        for m in _FRIENDS.finditer(text, start, min(end + 3, len(text))):
            found.update(range(*m.span()))
    return found


def toxicity(text: str, eojeol: int) -> float:
    """The score of one normalised text of `eojeol` words: weighted hits over hits and a tenth of the words, 0 without any."""
    if _JAMO_RUN.search(text):
        text = _JAMO_RUN.sub(_composed, text)
    hits = list(_LEXICON.finditer(text))
    if not hits:
        return 0.0
    friends = _friends(text, hits)
    weight = 0.0
    for m in hits:
        stem = _STRIP.sub("", m.group())
        jamo = stem[0] in _LEADS and any(
            a < len(text) and text[a] in _JAMO for a in (m.start() - 1, m.end()) if a >= 0
        )
        if m.start() not in friends and not jamo:
            weight += _WEIGHT.get(stem, 0.0)
    return weight / (weight + 2.0 + eojeol / 10) if weight else 0.0
