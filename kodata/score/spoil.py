"""Bad text made from good text, in the ways Korean corpora go bad: what a classifier without bad examples learns from."""

from __future__ import annotations

import random
from collections.abc import Callable

JUNK = "관련 상품 무료 상담 클릭 이벤트 할인 회원가입 로그인 더보기 목록 다음글 이전글 공유 댓글 구독 좋아요 문의 바로가기 최저가 추천 후기".split()


def mojibake_cp949(text: str, rng: random.Random) -> str:
    """UTF-8 read as CP949: 뱀 and 諛 instead of words."""
    return text.encode("utf-8", "replace").decode("cp949", "replace")


def mojibake_latin(text: str, rng: random.Random) -> str:
    """CP949 read as Latin-1: µµ¼­°ü."""
    return text.encode("cp949", "replace").decode("latin-1")


def shuffled_words(text: str, rng: random.Random) -> str:
    """Every word where another stood."""
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def shuffled_syllables(text: str, rng: random.Random) -> str:
    """The syllables of each three words mixed."""
    words = text.split()
    out = []
    for i in range(0, len(words), 3):
        letters = list("".join(words[i : i + 3]))
        rng.shuffle(letters)
        out += ["".join(letters[:3]), "".join(letters[3:])]
    return " ".join(w for w in out if w)


def repeated(text: str, rng: random.Random) -> str:
    """A few words said over and over, as a model that lost its way does."""
    words = text.split()
    start = rng.randrange(max(len(words) - 4, 1))
    phrase = " ".join(words[start : start + rng.randint(2, 6)])
    return " ".join([phrase] * max(2, len(text) // (len(phrase) + 1)))


def menus(text: str, rng: random.Random) -> str:
    """Words of menus and advertising with scraps of the text."""
    words = text.split()
    return " ".join(rng.choice(JUNK) if rng.random() < 0.7 or not words else rng.choice(words) for _ in words)


def torn(text: str, rng: random.Random) -> str:
    """Columns read across: each line is half of one sentence and half of another."""
    words = text.split()
    half = len(words) // 2
    pairs = zip(words[:half], words[half:], strict=False)
    return " ".join(w for pair in pairs for w in pair)


def noise(text: str, rng: random.Random) -> str:
    """A fifth of the characters replaced by jamo, signs and digits, as in bad OCR."""
    signs = "ㄱㄴㄷㅋㅎㅠㅜㅏㅣ@#~^*|;:°·■□◇?!123890abcXYZ"
    return "".join(rng.choice(signs) if rng.random() < 0.2 and c != " " else c for c in text)


WAYS: tuple[Callable[[str, random.Random], str], ...] = (
    mojibake_cp949, mojibake_latin, shuffled_words, shuffled_syllables, repeated, menus, torn, noise,
)  # fmt: skip


def spoiled(text: str, seed: str) -> str:
    """The text gone bad in one of WAYS, which one and how by `seed`."""
    rng = random.Random(seed)
    return rng.choice(WAYS)(text, rng)
