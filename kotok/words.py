"""Counting the words (pre-tokens) of a corpus: what byte-level training learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from kodata.run.errors import UserError
from kotok.bpe import Words, native, pack_words
from kotok.pattern import MAX_DIGITS, training_words

BATCH_CHARS = 1 << 20


class WordCounts:
    """Counts words of texts; native where it is built, a plain Counter else."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.documents = 0
        self.chars = 0
        code = native()
        self._native: Any = None if code is None else code.WordCounter()
        self._plain: Counter[bytes] = Counter()
        self._batch: list[str] = []
        self._batch_chars = 0

    def add(self, text: str, name: str = "") -> None:
        """Count one text. Raises UserError (with the document's name) for a lone surrogate."""
        if self._native is None or not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"UTF-8이 될 수 없는 글자가 있습니다 (lone surrogate): {name}: 글자 (character) {error.start}",
                    "kodata clean을 거치십시오 (run kodata clean first)",
                ) from None
        self.documents += 1
        self.chars += len(text)
        self._batch.append(text)
        self._batch_chars += len(text)
        if self._batch_chars >= BATCH_CHARS:
            self._flush()

    def add_all(self, texts: Iterable[str]) -> WordCounts:
        """Count many texts; returns itself."""
        for text in texts:
            self.add(text)
        return self

    def _flush(self) -> None:
        if self._native is not None:
            self._native.add_texts(self._batch, MAX_DIGITS[self.pattern])
        else:
            for text in self._batch:
                self._plain.update(training_words(text, self.pattern))
        self._batch, self._batch_chars = [], 0

    def words(self) -> Words:
        """The counted words; ends the counting and frees its memory."""
        self._flush()
        if self._native is not None:
            words = self._native.words()
            self._native = None
            return words
        return pack_words(list(self._plain), list(self._plain.values()))
