"""Pre-tokenizer patterns that llama.cpp knows by name, and the byte alphabet of byte-level BPE.

The regexes are llama.cpp's own spelling (its `llama-bpe` and `qwen2`), so that a converted model cuts text the same
way; `(?i:…)` forms would add the long s. Native code has them as a scanner (csrc/pretoken.h); here is the reference.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

Pattern = Literal["llama-bpe", "qwen2"]

_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
REGEX: dict[str, str] = {
    "llama-bpe": _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _REST,
    "qwen2": _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _REST,
}
_O200K = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
KNOWN: dict[str, str] = {**REGEX, "o200k": _O200K}
"""Pre-tokenizer regexes of other makers' tokenizers by name: llama.cpp's two and OpenAI's own."""
MAX_DIGITS: dict[str, int] = {"llama-bpe": 3, "qwen2": 1}

# A pre-token longer than this many bytes is counted in pieces while training (csrc/word_counter.h says why).
MAX_WORD_BYTES = 1000


def pre_tokenize(text: str, pattern: str = "llama-bpe") -> list[str]:
    """The pre-tokens of a text; joined they are the text. Plain reference by the regex engine of `tokenizers`."""
    return [piece for piece, _ in _splitter(pattern).pre_tokenize_str(text)]


@lru_cache(maxsize=4)
def _splitter(pattern: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(REGEX[pattern]), "isolated")


def training_words(text: str, pattern: str = "llama-bpe") -> list[bytes]:
    """Pre-tokens as training counts them: UTF-8, over-long ones in pieces cut between characters."""
    words: list[bytes] = []
    for piece in pre_tokenize(text, pattern):
        word = piece.encode()
        while len(word) > MAX_WORD_BYTES:
            cut = MAX_WORD_BYTES
            while word[cut] & 0xC0 == 0x80:
                cut -= 1
            words.append(word[:cut])
            word = word[cut:]
        words.append(word)
    return words


@lru_cache(maxsize=1)
def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-in for each byte, by byte value: what tokenizer.json writes tokens with."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {b: chr(b) for b in printable}
    for i, b in enumerate(b for b in range(256) if b not in table):
        table[b] = chr(256 + i)
    return [table[b] for b in range(256)]


def printable(token: bytes) -> str:
    """A token's bytes in the byte alphabet."""
    alphabet = byte_alphabet()
    return "".join(alphabet[b] for b in token)


def from_printable(token: str) -> bytes:
    """The bytes of a token written in the byte alphabet. Raises KeyError for a character outside it."""
    return bytes(_by_character()[c] for c in token)


@lru_cache(maxsize=1)
def _by_character() -> dict[str, int]:
    return {c: b for b, c in enumerate(byte_alphabet())}
