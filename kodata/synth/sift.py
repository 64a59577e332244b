"""What a made question or answer must be, and the pool that keeps new questions different from old ones."""

import re
from collections import Counter, defaultdict

from kodata.synth.client import Answer

MIN_KOREAN = 0.3
"""Share of Hangul among the letters of a question or answer."""
MOST_CHARS = 600
"""Of a question that comes as one line of a list."""
NEAR = 0.6
"""Jaccard similarity of character trigrams from which a question is the same again (self-instruct uses ROUGE-L 0.7)."""
# What a text model cannot do, after self-instruct's list.
_IMPOSSIBLE = re.compile(
    r"그림을 그|이미지를 (?:만|생성|첨부)|사진을 (?:찍|첨부|올)|동영상을|음악을 (?:틀|재생)|첨부(?:된|한) 파일|위(?:의)? (?:그림|표|사진)|인터넷에서 검색"
)
_BULLET = re.compile(r"^\s*(?:[-*•·▪]|\(?\d{1,3}[.):]|[①-⑳])\s*")
_LABEL = re.compile(r"^(?:\*\*|[\"“「『])?(?:질문|문제|지시문?|과제)\s*\d*\s*[:：]\s*")


def korean_share(text: str) -> float:
    """Hangul syllables among letters, 0 when there is no letter."""
    letters = [c for c in text if c.isalpha()]
    return sum("가" <= c <= "힣" for c in letters) / len(letters) if letters else 0.0


def list_items(text: str, most: int, *, cut: bool = False) -> list[str]:
    """The items of a list as models write one: bullets or numbers before each, bold marks and repeats left out.

    `cut`: the text ended at the token limit, so its last line is half an item and left out.
    """
    items: list[str] = []
    lines = text.splitlines()
    for line in lines[:-1] if cut else lines:
        if not _BULLET.match(line):
            continue
        item = " ".join(_BULLET.sub("", line).replace("**", "").split()).strip(' "“”')
        if 1 < len(item) <= MOST_CHARS and item not in items:
            items.append(item)
    return items[:most]


def question_problem(text: str) -> str:
    """Why a text is no usable question, or an empty string."""
    if len(text.strip()) < 6:
        return "empty_prompt"
    if len(text) > 4 * MOST_CHARS:
        return "too_long"
    if korean_share(text) < MIN_KOREAN:
        return "not_korean"
    return "impossible" if _IMPOSSIBLE.search(text) else ""


def answer_problem(question: str, answer: Answer) -> str:
    """Why an answer is not kept, or an empty string."""
    text = answer.text.strip()
    if answer.problem:
        return "refused"
    if not text:
        return "empty_answer"
    if answer.finish == "length":
        return "cut"
    if text == question.strip():
        return "echo"
    # An answer may be code or a formula: only one with letters enough to tell is judged by them.
    letters = sum(c.isalpha() for c in text)
    return "not_korean" if letters >= 40 and korean_share(text) < MIN_KOREAN / 3 else ""


def bare_question(text: str) -> str:
    """The question without what models put around one: a label before it, quotes, bold marks."""
    text = text.strip().replace("**", "")
    text = _LABEL.sub("", text).strip()
    if len(text) > 2 and text[0] in '"“「『' and text[-1] in '"”」』':
        text = text[1:-1].strip()
    return text


class Pool:
    """Questions seen so far; says whether a new one is nearly one of them. Exact, by an index of trigrams."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._holders: dict[str, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._sizes)

    def near(self, text: str) -> bool:
        """Whether some question in the pool has Jaccard similarity NEAR or more."""
        grams = _grams(text)
        shared: Counter[int] = Counter()
        for gram in grams:
            shared.update(self._holders.get(gram, ()))
        return any(n >= NEAR * (len(grams) + self._sizes[i] - n) for i, n in shared.items())

    def add(self, text: str) -> None:
        """Put a question into the pool."""
        grams = _grams(text)
        for gram in grams:
            self._holders[gram].append(len(self._sizes))
        self._sizes.append(len(grams))

    def take(self, text: str) -> bool:
        """Add a question unless it is near one; whether it was added."""
        if self.near(text):
            return False
        self.add(text)
        return True


def _grams(text: str) -> set[str]:
    plain = "".join(c for c in text.lower() if c.isalnum())
    return {plain[i : i + 3] for i in range(max(1, len(plain) - 2))}
