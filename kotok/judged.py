"""What is asked of a tokenizer that is looked at or compared, ours or anybody's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np


class Judged(Protocol):
    """`kotok.tokenizer.Tokenizer` and the tokenizers of `kotok.foreign`."""

    control: dict[str, int]
    vocab_size: int

    @property
    def kind(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def byte_exact(self) -> bool:
        """Whether the bytes of the tokens, end to end, are the text: then boundaries are counted in bytes."""

    def encode(self, text: str) -> list[int]: ...
    def encode_flat(self, texts: Sequence[str], threads: int = 1) -> tuple[np.ndarray, np.ndarray]: ...
    def decode(self, ids: Iterable[int]) -> str: ...
    def token(self, i: int) -> bytes: ...
    def token_bytes(self) -> np.ndarray: ...
    def spans(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """(ids, (n, 2) character positions each token covers): for kinds that are not byte-exact."""

    def anew(self) -> Judged:
        """The same with an empty cache, for timing."""
