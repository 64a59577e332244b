"""Measures of a Korean text that the cleaning rules judge: scripts, eojeol, lines, repetition, noise.

Words are eojeol (split at white space): morphemes would cost a hundred times more and change no decision. Shares are
0..1. All but chars and eojeol are measured in the prose, that is outside code, addresses and tags, so that a Korean page about
programming stays Korean and its examples do not count as repetition. This file defines the numbers; a native core may compute them faster, never differently.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kodata.text.syllables import COMMON, KS_X_1001

_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]+`|https?://[^\s가-힣]+|www\.[^\s가-힣]+|</?[A-Za-z][^<>]{0,200}>|\{/\*(?:(?!\{/\*).)*?\*/\}",
    re.S,
)
_CODE_SIGN = re.compile(r"`|://|www\.|<[A-Za-z/]|\{/\*")
_LETTER, _HANGUL, _HANJA, _LATIN, _KANA, _OTHER, _JAMO, _DIGIT, _SPACE, _SYMBOL, _LOST = range(11)
_CLOSERS = frozenset(".!?。！？…‥⋯:;")
_TRAILERS = "\"'”’」』）)]】》〉*_~♡♥^ㅋㅎㅠㅜ "
_ENDINGS = tuple("다요죠까네라군걸나지음함됨임")
_BULLETS = ("-", "*", "•", "·", "ㆍ", "‧", "◆", "■", "▶", "○", "●", "※", "◇", "□", "▷", "►", "+ ")
_ELLIPSES = ("...", "…", "..", "⋯")
_STOPWORDS = (
    "의",
    "다",
    "이",
    "는",
    "에",
    "을",
    "한",
    "년",
    "하",
    "은",
    "를",
    "고",
    "에서",
    "가",
    "으로",
    "인",
    "월",
    "로",
    "되",
)
_STOP_ENDING = re.compile(
    f'[가-힣](?:{"|".join(sorted(_STOPWORDS, key=len, reverse=True))})[.,!?"”’)]*(?=\\s|\\Z)'
)
DUP_N = (5, 6, 7, 8, 9, 10)
TOP_N = (2, 3, 4)
MIN_TOP = 5
"""Occurrences below which the most frequent n-gram does not count as repetition."""


@dataclass(kw_only=True, slots=True)
class Measures:
    """Numbers of one text. Counts are int, shares float in 0..1."""

    chars: int = 0
    """Characters, white space included."""
    eojeol: int = 0
    """Words between white space."""
    mean_eojeol: float = 0.0
    """Mean eojeol length in characters (prose only)."""
    lines: int = 0
    """Lines that are not blank."""
    korean: float = 0.0
    """Share of Hangul (and of hanja, when Hangul is there too) among the letters of the prose."""
    hanja: float = 0.0
    """Share of hanja among the letters of the prose."""
    kana: float = 0.0
    """Share of kana among the letters of the prose."""
    hangul_chars: int = 0
    """Hangul syllables in the prose."""
    korean_chars: int = 0
    """Letters counted as Korean in the prose, stray jamo not among them."""
    jamo: float = 0.0
    """Share of stray jamo (ㅋ, ㅠ, ㄱ) among the characters that are not space."""
    symbols: float = 0.0
    """Share of characters that are neither letter, digit nor space, in the prose."""
    digits: float = 0.0
    """Share of digits among the characters of the prose that are not space."""
    lost: float = 0.0
    """Share of U+FFFD and of the leftovers 占쏙옙 among all characters."""
    rare: float = 0.0
    """Share of the syllables outside KS X 1001, the mark of a wrong charset; 0 below four different ones."""
    common: float = 1.0
    """Share of the syllables that are among the 399 most frequent."""
    line_punct: float = 0.0
    """Share of the lines that end like a sentence (Korean closers and endings included)."""
    prose: float = 0.0
    """Share of the characters in lines that read like sentences: they end like one, or are full of particles."""
    mean_line: float = 0.0
    """Mean length of a line in characters."""
    newlines: float = 0.0
    """Newlines an eojeol."""
    bullets: float = 0.0
    """Share of the lines that begin with a bullet."""
    ellipsis: float = 0.0
    """Share of the lines that end in an ellipsis (cut off teasers)."""
    particles: int = 0
    """Eojeol that end in a frequent particle or ending."""
    dup_lines: float = 0.0
    """Share of the lines that occurred before in the text (lines of four characters and more)."""
    dup_line_chars: float = 0.0
    """The same, in characters."""
    top_2: float = 0.0
    """Share of the characters taken by the most frequent 2-gram of eojeol that occurs at least MIN_TOP times."""
    top_3: float = 0.0
    """The same for 3-grams."""
    top_4: float = 0.0
    """The same for 4-grams."""
    dup_5: float = 0.0
    """Share of the characters in 5-grams of eojeol that occurred before."""
    dup_6: float = 0.0
    """The same for 6-grams."""
    dup_7: float = 0.0
    """The same for 7-grams."""
    dup_8: float = 0.0
    """The same for 8-grams."""
    dup_9: float = 0.0
    """The same for 9-grams."""
    dup_10: float = 0.0
    """The same for 10-grams."""
    char_repeat: float = 0.0
    """Share of the character 10-grams (blanks left out) that occurred before: repetition without spaces.
    Only measured where eojeol are longer than seven characters on average; 0 elsewhere."""


def _character_class(char: str) -> int:
    code = ord(char)
    if (
        0xAC00 <= code <= 0xD7A3
        or 0x1100 <= code <= 0x11FF
        or 0xA960 <= code <= 0xA97F
        or 0xD7B0 <= code <= 0xD7FF
    ):
        return _HANGUL
    if 0x3131 <= code <= 0x318E and code != 0x318D:
        return _JAMO
    if (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x323AF
    ):
        return _HANJA
    if 0x3040 <= code <= 0x30FF and code != 0x30FB:
        return _KANA
    if code < 0x250 and char.isalpha():
        return _LATIN
    if char.isspace():
        return _SPACE
    if char.isdigit():
        return _DIGIT
    if char == "�":
        return _LOST
    return _OTHER if char.isalpha() else _SYMBOL


class _Classes(dict[str, int]):
    def __missing__(self, char: str) -> int:
        found = self[char] = _character_class(char)
        return found


_CLASSES = _Classes()


def _scripts(prose: str, found: Measures) -> None:
    counts = [0] * 11
    rare = kinds_of_rare = common = syllables = 0
    for char, n in Counter(prose).items():
        kind = _CLASSES[char]
        counts[kind] += n
        if kind == _HANGUL:
            syllables += n
            if char in COMMON:
                common += n
            elif char not in KS_X_1001 and "가" <= char <= "힣":
                rare += n
                kinds_of_rare += 1
    hangul, hanja = counts[_HANGUL], counts[_HANJA]
    letters = hangul + hanja + counts[_LATIN] + counts[_KANA] + counts[_OTHER] + counts[_JAMO]
    visible = letters + counts[_DIGIT] + counts[_SYMBOL] + counts[_LOST]
    found.hangul_chars = hangul
    if letters:
        # A text in mixed script is Korean as soon as its particles are Hangul; Chinese has none at all.
        mixed = hanja if hangul >= 0.1 * (hangul + hanja) else 0
        found.korean_chars = hangul + mixed
        found.korean = (hangul + counts[_JAMO] + mixed) / letters
        found.hanja = hanja / letters
        found.kana = counts[_KANA] / letters
    if visible:
        found.jamo = counts[_JAMO] / visible
        found.symbols = counts[_SYMBOL] / visible
        found.digits = counts[_DIGIT] / visible
    if syllables:
        # People invent a rare syllable or two (읭, 됌); a wrong charset makes them by the dozen.
        found.rare = rare / syllables if kinds_of_rare >= 4 else 0.0
        found.common = common / syllables


def _ends_like_sentence(line: str) -> bool:
    bare = line.rstrip(_TRAILERS)
    if not bare:
        return False
    return bare[-1] in _CLOSERS or (bare.endswith(_ENDINGS) and " " in bare)


def _lines(text: str, found: Measures) -> None:
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    n = found.lines = len(lines)
    if not n:
        return
    total = sum(map(len, lines))
    punctuated = bullets = ellipsis = prose = 0
    for line in lines:
        if line.startswith(_BULLETS):
            bullets += 1
        if line.endswith(_ELLIPSES):
            ellipsis += 1
        if _ends_like_sentence(line):
            punctuated += 1
            prose += len(line)
        elif len(line) >= 25 and len(_STOP_ENDING.findall(line)) >= max(3, 0.3 * len(line.split())):
            prose += len(line)  # a sentence broken over lines
    found.line_punct, found.bullets, found.ellipsis = punctuated / n, bullets / n, ellipsis / n
    found.prose = prose / total
    found.mean_line = total / n
    found.newlines = text.count("\n") / max(found.eojeol, 1)
    long = [line for line in lines if len(line) >= 4]
    if len(set(long)) < len(long):
        counts = Counter(long)
        found.dup_lines = (len(long) - len(counts)) / n
        found.dup_line_chars = sum((c - 1) * len(line) for line, c in counts.items()) / total


def _top(words: Sequence[str], n: int, chars: int) -> float:
    gram, count = max(
        Counter(zip(*(words[i:] for i in range(n)), strict=False)).items(), key=lambda item: item[1]
    )
    # A few times is how people write (FineWeb-2 counts an n-gram that occurs once, which kills every short text).
    return count * sum(map(len, gram)) / chars if count >= MIN_TOP else 0.0


def _duplicates(words: Sequence[str], n: int, chars: int) -> float:
    """Characters in n-grams seen before, found ones not overlapping (Rae et al. 2021, as datatrove counts)."""
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    if len(set(grams)) == len(grams):
        return 0.0
    seen: set[tuple[str, ...]] = set()
    repeated = i = 0
    while i < len(grams):
        gram = grams[i]
        if gram in seen:
            repeated += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return repeated / chars


def _repetition(words: Sequence[str], found: Measures) -> None:
    chars = sum(map(len, words))
    if not chars:
        return
    for n in TOP_N:
        if len(words) >= n + MIN_TOP:
            setattr(found, f"top_{n}", _top(words, n, chars))
    for n in DUP_N:
        if len(words) < n + 1:
            break
        share = _duplicates(words, n, chars)
        if not share:
            break  # no repeated n-gram, so no repeated (n+1)-gram
        setattr(found, f"dup_{n}", share)
    if chars > 7 * len(words) and chars > 10:
        solid = "".join(words)
        grams = chars - 9
        found.char_repeat = 1 - len({solid[i : i + 10] for i in range(grams)}) / grams


def measure(text: str) -> Measures:
    """Measures of one normalised text."""
    found = Measures(chars=len(text))
    words = text.split()
    found.eojeol = len(words)
    if not words:
        return found
    prose = text
    if _CODE_SIGN.search(text):
        outside = _NOT_PROSE.sub(" ", text)
        # A page that is nothing but code is judged by its code.
        if len(outside.split()) >= 0.1 * len(words):
            prose = outside
    _scripts(prose, found)
    prose_words = prose.split() if prose is not text else words
    found.mean_eojeol = sum(map(len, prose_words)) / max(len(prose_words), 1)
    if "�" in text or "占쏙" in text:
        found.lost = (text.count("�") + 3 * text.count("占쏙옙")) / len(text)
    found.particles = len(_STOP_ENDING.findall(prose))
    _lines(prose, found)
    _repetition(prose_words, found)
    return found
