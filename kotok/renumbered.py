"""A foreign byte-level BPE as `kotok extend` sees it: its merges that act in Hangul words, and the words it cuts from a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from kodata.run.errors import UserError
from kotok.bpe import Merge
from kotok.pattern import from_printable, printable
from kotok.tokenizer import Tokenizer

_HANGUL_RUN = re.compile("[가-힣]+")
_USUAL = re.compile(" ?[가-힣]+")
_PROBE = "가나 다라  마바\n사아a자차 b카 (타파)하' 각간, 1갈2 3감\t갑 x갓강.갖"
_IN_WORDS = re.compile(rb" ?[\x80-\xbf\xea-\xed]*")
"""Bytes that may stand side by side in a Hangul run with a space before it."""


class Renumbered:
    """The merges of any byte-level BPE that act in Hangul words, as our trainer numbers them: bytes 0 to 255, then each
    new token in order."""

    def __init__(self, old: Tokenizer, folder: Path) -> None:
        model = old.spec["model"]
        shapes = json.dumps([old.spec.get("pre_tokenizer"), old.spec.get("decoder")])
        bad = [
            what
            for what, is_so in (
                ("BPE가 아님 (not BPE)", model.get("type") != "BPE"),
                ("바이트 단위가 아님 (not byte-level)", "ByteLevel" not in shapes),
                (
                    "정규화나 조각 표지가 있음 (normaliser, prefixes or dropout)",
                    any(
                        model.get(k)
                        for k in (
                            "dropout",
                            "continuing_subword_prefix",
                            "end_of_word_suffix",
                            "byte_fallback",
                        )
                    )
                    or (old.spec.get("normalizer") or {}).get("type") not in (None, "NFC"),
                ),
            )
            if is_so
        ]
        if bad:
            raise UserError(
                f"늘릴 수 없는 토크나이저 (cannot be extended): {', '.join(bad)}",
                "Llama 3, Qwen 같은 바이트 단위 BPE 폴더를 주십시오 (give a byte-level BPE folder such as theirs)",
                file=folder,
            )
        vocab = model["vocab"]
        self.old_ids: list[int] = []
        """Old id of each of our numbers."""
        number: dict[str, int] = {}
        for b in range(256):
            char = printable(bytes([b]))
            if char not in vocab:
                raise UserError(
                    f"바이트가 빠진 어휘입니다 (vocabulary without byte {b:#04x})",
                    "다른 토크나이저를 쓰십시오 (use another)",
                    file=folder,
                )
            number[char] = b
            self.old_ids.append(vocab[char])
        self.merges: list[Merge] = []
        for item in model["merges"]:
            left, right = item.split(" ", 1) if isinstance(item, str) else item
            joined = left + right
            # Others cannot meet a Hangul word. A merge listed before its parts (Llama 3 has some) is left to the old list.
            if left not in number or right not in number or not _IN_WORDS.fullmatch(from_printable(joined)):
                continue
            if joined not in number:
                number[joined] = len(self.old_ids)
                self.old_ids.append(vocab[joined])
            self.merges.append((number[left], number[right], number[joined]))
        self.pre_tokenizer = old._hf.pre_tokenizer
        self.normalizer = old._hf.normalizer
        # Pre-tokenizers after GPT-2 cut Hangul runs alike: then a plain search is enough, and 20 times as fast.
        self.usual = list(self._pieces(_PROBE)) == [w.encode() for w in _USUAL.findall(_PROBE)]

    def words(self, text: str) -> Iterator[bytes]:
        """Hangul runs of a text as its own pre-tokenizer cuts it, each with the space before it.

        Only these teach: a merge learned from them always holds Hangul, or the beginning of one.
        """
        if self.normalizer is not None:
            text = self.normalizer.normalize_str(text)
        if self.usual:
            return (found.encode() for found in _USUAL.findall(text))
        return self._pieces(text)

    def _pieces(self, text: str) -> Iterator[bytes]:
        for piece, _ in self.pre_tokenizer.pre_tokenize_str(text):
            word = from_printable(piece).decode("utf-8", "replace")
            for found in _HANGUL_RUN.finditer(word):
                start = found.start()
                if start == 1 and word[0] == " ":
                    start = 0
                yield word[start : found.end()].encode()
