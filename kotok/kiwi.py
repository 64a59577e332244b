"""The one door to kiwipiepy: where morphemes begin inside words (training) and inside running text (evaluation)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from kodata.run.errors import UserError

# Lead bytes of U+A000..U+DFFF; of these only Hangul is common, and a stray Yi syllable costs one look-up.
_HANGUL_BYTES = re.compile(rb"[\xea-\xed]")
MAX_CUT_BYTES = 200
"""Words longer than this are not cut: no Korean word is, and Kiwi's time grows with length."""


def load_kiwi(workers: int) -> Any:
    """A Kiwi with the default model. The multi-word dictionary is left out: single words cannot meet it, and it is half
    of the loading time. Raises UserError when library or model are missing."""
    try:
        from kiwipiepy import Kiwi

        return Kiwi(num_workers=workers, load_multi_dict=False)
    except Exception as error:  # kiwipiepy raises plain Exception for a missing model file
        raise UserError(
            f"형태소 분석기 Kiwi나 Kiwi 모델이 없습니다 (Kiwi or its model is missing): {error}",
            "pip install kiwipiepy kiwipiepy_model, 또는 Kiwi 없이 --algorithm bbpe (or plain BPE without it)",
        ) from None


def load_kiwi_early(workers: int) -> Future[Any]:
    """`load_kiwi` in a thread, so that it loads while words are being counted."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="kiwi")
    future = pool.submit(load_kiwi, workers)
    pool.shutdown(wait=False)
    return future


def morpheme_starts(tokens: Sequence[Any]) -> list[int]:
    """Character positions where a morpheme begins, the first left out. Morphemes that share a syllable (되+ㅂ니다 in
    됩니다) begin at the same place, so no syllable is ever cut."""
    return sorted({t.start for t in tokens} - {0})


def has_morphemes(word: bytes) -> bool:
    """Whether Kiwi is asked about this word at all: more than one character, some of it Hangul, and not overlong."""
    return 3 < len(word) <= MAX_CUT_BYTES and _HANGUL_BYTES.search(word) is not None


def cut_words(
    kiwi: Any, words: Sequence[bytes], tick: Callable[[int], None] | None = None
) -> Iterator[list[bytes]]:
    """Each word cut at its morphemes. A leading space stays with the first morpheme, other leading marks are cut off.

    Words are analysed alone, without context; the same word with and without its space is asked for once.
    """
    texts = [w.decode() for w in words]
    leads = [0 if t[0].isalnum() else 1 for t in texts]
    cores = list(dict.fromkeys(t[lead:] for t, lead in zip(texts, leads, strict=True) if len(t) - lead > 1))
    starts: dict[str, list[int]] = {}
    for core, tokens in zip(cores, kiwi.tokenize(iter(cores)), strict=True):
        starts[core] = morpheme_starts(tokens)
        if tick is not None and len(starts) % 1000 == 0:
            tick(1000)
    for text, lead in zip(texts, leads, strict=True):
        places = [lead + s for s in starts.get(text[lead:], [])]
        if lead and text[0] != " ":
            places = [lead, *places]
        yield [text[a:b].encode() for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def text_boundaries(kiwi: Any, texts: Sequence[str]) -> Iterator[set[int]]:
    """For each text, analysed in context, the character positions where a morpheme begins inside a run of Hangul."""
    for text, tokens in zip(texts, kiwi.tokenize(iter(texts)), strict=True):
        yield {s for s in morpheme_starts(tokens) if hangul_inside(text, s)}


def hangul_inside(text: str, place: int) -> bool:
    """Whether the place between text[place - 1] and text[place] has a Hangul syllable on both sides."""
    return 0 < place < len(text) and "가" <= text[place - 1] <= "힣" and "가" <= text[place] <= "힣"
