"""Morphemes cut by people: a reader of Universal Dependencies' Korean treebanks (CoNLL-U), as boundaries inside running text.

Kaist and GSD write the morphemes of an eojeol into LEMMA, joined by "+" (`서울+이+ㅂ니다`). Where these letters, set end to
end, are the letters of the eojeol, each morpheme has a place; where they are contracted or changed (`하+았+다` for 했다) it
has not, and the eojeol is not judged. A morpheme that begins inside a syllable (ㅂ니다 in 입니다) makes no boundary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kodata.run.errors import UserError

MAX_LINE = 1 << 20
# Compatibility letters (U+3131…) as the final consonants and the vowels that they are inside a word.
_FINALS = dict(
    zip(
        "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ", map(chr, range(0x11A8, 0x11C3)), strict=True
    )
)
_VOWELS = {chr(0x314F + i): chr(0x1161 + i) for i in range(21)}


@dataclass(slots=True)
class Sentence:
    """A sentence and what is known of its morphemes."""

    text: str
    begins: list[int] = field(default_factory=list)
    """Character positions where a morpheme begins between two Hangul syllables."""
    judged: list[int] = field(default_factory=list)
    """All positions between two Hangul syllables of eojeols whose morphemes have a place."""
    eojeols: int = 0
    """With Hangul."""
    unplaced: int = 0
    """Of these, without places."""


def read_conllu(path: Path) -> Iterator[Sentence]:
    """Sentences of a treebank file, in order.

    Raises:
        UserError: no CoNLL-U, bad UTF-8, or a word that does not stand in its sentence; file and line are named.
    """
    words: list[tuple[str, str, bool]] = []
    text, seen, inside = "", 0, 0
    with open(path, "rb") as handle:
        for number, raw in enumerate(iter(lambda: handle.readline(MAX_LINE), b""), 1):
            try:
                line = raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise _bad(path, number, "UTF-8이 아닙니다 (not UTF-8)") from None
            if not line:
                if words:
                    yield _sentence(words, text, path, number)
                    seen += 1
                words, text, inside = [], "", 0
            elif line.startswith("#"):
                if line.startswith("# text = "):
                    text = line[9:]
            else:
                columns = line.split("\t")
                if len(columns) != 10:
                    raise _bad(path, number, f"열이 열 개가 아닙니다 ({len(columns)} columns, not 10)")
                where = columns[0]
                if "." in where:  # an empty node
                    continue
                if "-" in where:  # a surface token of several words: its words are skipped
                    last = where.split("-")[1]
                    inside = int(last) if last.isdigit() else 0
                elif where.isdigit() and int(where) <= inside:
                    continue
                words.append((columns[1], columns[2], "SpaceAfter=No" in columns[9].split("|")))
    if words:
        yield _sentence(words, text, path, number)
        seen += 1
    if not seen:
        raise _bad(path, None, "문장이 없습니다 (no sentences)")


def _bad(path: Path, line: int | None, what: str) -> UserError:
    return UserError(
        f"CoNLL-U가 아닙니다 (not CoNLL-U): {what}",
        "Universal Dependencies의 ko_*.conllu 를 주십시오 (give such a file)",
        file=path,
        line=line,
    )


def _sentence(words: list[tuple[str, str, bool]], text: str, path: Path, line: int) -> Sentence:
    if not text:
        text = "".join(form + ("" if glued else " ") for form, _, glued in words).rstrip()
    made = Sentence(unicodedata.normalize("NFC", text))
    at = 0
    for form, lemma, _ in words:
        form = unicodedata.normalize("NFC", form)
        found = made.text.find(form, at)
        if found < 0 or made.text[at:found].strip():
            raise _bad(path, line, f"문장에 없는 낱말 (word not in its sentence): {form}")
        at = found + len(form)
        inner = [i for i in range(1, len(form)) if _hangul(form[i - 1]) and _hangul(form[i])]
        if not any(map(_hangul, form)):
            continue
        made.eojeols += 1
        starts = morpheme_places(form, lemma)
        if starts is None:
            made.unplaced += 1
            continue
        made.judged += [found + i for i in inner]
        made.begins += [found + i for i in inner if i in starts]
    return made


def _hangul(c: str) -> bool:
    return "가" <= c <= "힣"


def morpheme_places(form: str, lemma: str) -> set[int] | None:
    """Character positions in `form` where a morpheme of `lemma` ("a+b+c") begins; None when the letters differ."""
    parts = ["+"] if lemma == "+" else [p for p in lemma.split("+") if p]
    letters = _letters(form)
    said: list[tuple[str, bool]] = []
    begins: list[int] = []
    for part in parts:
        begins.append(len(said))
        said += _letters(part)
    if [a for a, _ in said] != [a for a, _ in letters]:
        return None
    place, characters = {}, -1
    for n, (_, first) in enumerate(letters):
        characters += first
        if first:
            place[n] = characters
    return {place[b] for b in begins if b in place} - {0}


def _letters(word: str) -> list[tuple[str, bool]]:
    """(letter, whether it begins a character): syllables taken apart, compatibility letters as parts of a syllable."""
    out: list[tuple[str, bool]] = []
    for c in word:
        if c in _FINALS:
            out.append((_FINALS[c], True))
        elif c in _VOWELS:
            out.append((_VOWELS[c], True))
        else:
            out += [
                (part, k == 0) for k, part in enumerate(unicodedata.normalize("NFD", c) if _hangul(c) else c)
            ]
    return out


def gold_of(sentences: list[Sentence]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What `kotok.measure.measure` takes: by text, (morpheme beginnings, places judged)."""
    return {
        s.text: (np.array(s.begins, dtype=np.int64), np.array(s.judged, dtype=np.int64)) for s in sentences
    }
