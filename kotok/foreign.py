"""Tokenizers of every make, opened for comparison: our folders and Hugging Face's, tiktoken ranks, tekken, sentencepiece, GGUF.

All are untrusted files: sizes are bounded and nothing is executed or unpickled.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from kodata.run.errors import UserError
from kodata.run.files import read_json_object
from kodata.run.progress import note
from kotok.judged import Judged
from kotok.pattern import KNOWN

MAX_FILE_BYTES = 1 << 28


def open_any(path: str | Path) -> Judged:
    """Open a tokenizer of any make. Raises UserError for what is missing, damaged or not understood."""
    from kotok.tokenizer import load

    path = Path(path)
    if path.is_dir():
        for name in ("tokenizer.json", "tekken.json", "tokenizer.model"):
            if (path / name).is_file():
                return load(path) if name == "tokenizer.json" else open_any(path / name)
        ranks = sorted(path.glob("*.tiktoken"))
        return open_any(ranks[0]) if len(ranks) == 1 else load(path)
    if not path.is_file():
        return load(path)  # says what is missing
    if path.stat().st_size > MAX_FILE_BYTES and path.suffix != ".gguf":
        raise UserError(
            f"토크나이저 파일이 너무 큽니다 (tokenizer file too large): {path.stat().st_size:,} bytes",
            "토크나이저 파일이 맞는지 보십시오 (is it a tokenizer?)",
            file=path,
        )
    if path.suffix == ".gguf":
        from kotok.gguf import open_gguf

        return open_gguf(path)
    if path.suffix == ".json":
        spec = read_json_object(path)
        return _tekken(spec, path) if "model" not in spec and "vocab" in spec else load(path)
    data = path.read_bytes()
    if path.suffix == ".tiktoken" or _is_ranks(data):
        return _ranks(data, path)
    return SentencePiece(data, path)


# ---- tiktoken -----------------------------------------------------------------------------------

# A ranks file does not say its regex. Known ones are told by their number of ranks (o200k_base, Llama 4, cl100k_base,
# Llama 3, Qwen 2 to 3, Qwen 3.5); cl100k's regex cuts as llama-bpe's does.
_BY_RANKS = {199_998: "o200k", 200_000: "o200k", 100_256: "llama-bpe", 128_000: "llama-bpe", 151_643: "qwen2"}
_BY_NAME = {"o200k": "o200k", "gpt-oss": "o200k", "llama4": "o200k", "qwen": "qwen2", "cl100k": "llama-bpe"}


def _is_ranks(data: bytes) -> bool:
    first = data[:200].split(b"\n", 1)[0].split()
    try:
        return len(first) == 2 and first[1].isdigit() and bool(base64.b64decode(first[0], validate=True))
    except binascii.Error:
        return False


def _ranks(data: bytes, path: Path) -> Tiktoken:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise UserError(
                "tiktoken 순위 줄이 아닙니다 (not a line of tiktoken ranks: base64 and a number)",
                "파일을 다시 받으십시오 (get the file again)",
                file=path,
                line=number,
            ) from None
    name = _BY_RANKS.get(len(ranks)) or next(
        (p for word, p in _BY_NAME.items() if word in path.name.lower()), None
    )
    if name is None:
        name = "llama-bpe"
        note(
            f"{path}: 사전 토큰화 규칙이 적혀 있지 않아 {name} 로 봅니다 (no regex in the file, {name} assumed)"
        )
    return Tiktoken(ranks, KNOWN[name], name, path)


def _tekken(spec: dict[str, Any], path: Path) -> Tiktoken:
    """mistral-common's tekken.json: special ids first, then `default_vocab_size` minus these of the ranks listed."""
    try:
        config = spec["config"]
        special = int(config["default_num_special_tokens"])
        ranks = {
            base64.b64decode(one["token_bytes"], validate=True): int(one["rank"])
            for one in spec["vocab"][: int(config["default_vocab_size"]) - special]
        }
        return Tiktoken(ranks, str(config["pattern"]), "tekken", path)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise UserError(
            f"tokenizer.json도 tekken.json도 아닙니다 (neither of both): {error!r}",
            "Hugging Face fast tokenizer 나 tekken 파일을 주십시오 (give one of these)",
            file=path,
        ) from None


class Tiktoken:
    """Byte-level BPE by ranks, through `tiktoken`. Control tokens are left out: texts never become one."""

    byte_exact = True

    def __init__(self, ranks: dict[bytes, int], regex: str, name: str, path: Path) -> None:
        import tiktoken

        missing = [b for b in range(256) if bytes([b]) not in ranks]
        if missing or len(set(ranks.values())) != len(ranks) or max(ranks.values()) >= 2 * len(ranks):
            raise UserError(
                f"순위가 온전하지 않습니다 (ranks are not whole; missing bytes {missing[:3]})",
                "파일을 다시 받으십시오 (get the file again)",
                file=path,
            )
        self._parts = (ranks, regex, name, path)
        try:
            self._encoding = tiktoken.Encoding(
                name=path.name, pat_str=regex, mergeable_ranks=ranks, special_tokens={}
            )
        except Exception as error:  # tiktoken raises what its regex engine and asserts raise
            raise UserError(
                f"tiktoken이 열지 못합니다 (tiktoken cannot open it): {error}", file=path
            ) from None
        self.control: dict[str, int] = {}
        self.vocab_size = max(ranks.values()) + 1
        self._strings = {rank: token for token, rank in ranks.items()}

    @property
    def kind(self) -> str:
        """What it is."""
        return f"byte-level bpe (tiktoken, {self._parts[2]})"

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of ranks and regex."""
        hasher = blake2b(self._parts[1].encode(), digest_size=16)
        for rank, token in sorted(self._strings.items()):
            hasher.update(b"%d %d " % (rank, len(token)) + token)
        return hasher.hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text."""
        return self._encoding.encode_ordinary(text)

    def encode_flat(self, texts: Sequence[str], threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Ids end to end and where each text ends."""
        return flat([self.encode(t) for t in texts])

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        return b"".join(self.token(i) for i in ids).decode("utf-8", "replace")

    def token(self, i: int) -> bytes:
        """Bytes of an id; empty for a hole."""
        return self._strings.get(int(i), b"")

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.array([len(self.token(i)) for i in range(self.vocab_size)], dtype=np.int32)

    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes each id stands for."""
        return self._sizes

    def spans(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Not needed: byte-exact."""
        raise AssertionError("byte-exact tokenizers are measured in bytes")

    def anew(self) -> Tiktoken:
        """The same, fresh."""
        return Tiktoken(*self._parts)


# ---- sentencepiece ------------------------------------------------------------------------------


class SentencePiece:
    """A sentencepiece .model through its own library, with its own normalisation."""

    byte_exact = False

    def __init__(self, data: bytes, path: Path) -> None:
        import sentencepiece

        self._parts = (data, path)
        self._model = sentencepiece.SentencePieceProcessor()
        try:
            loaded = self._model.LoadFromSerializedProto(data)
            size = self._model.vocab_size() if loaded else 0
        except (RuntimeError, ValueError):
            size = 0
        if not size:
            raise UserError(
                "sentencepiece 모델도 tiktoken 순위 파일도 아닙니다 (neither a sentencepiece model nor tiktoken ranks)",
                "폴더, tokenizer.json, .tiktoken, .model, .gguf 를 주십시오 (give one of these)",
                file=path,
            )
        self.vocab_size = size
        self.control = {
            self._model.id_to_piece(i): i
            for i in range(size)
            if self._model.is_control(i) or self._model.is_unknown(i)
        }

    @property
    def kind(self) -> str:
        """What it is."""
        return "sentencepiece"

    @property
    def fingerprint(self) -> str:
        """Hex digest of the model."""
        return blake2b(self._parts[0], digest_size=16).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text."""
        return self._model.encode(text)

    def encode_flat(self, texts: Sequence[str], threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Ids end to end and where each text ends."""
        return flat(self._model.encode(list(texts), num_threads=threads))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        return self._model.decode([int(i) for i in ids])

    def token(self, i: int) -> bytes:
        """Bytes of an id as it is decoded inside a text."""
        i = int(i)
        piece = self._model.id_to_piece(i)
        if self._model.is_byte(i):
            return bytes([int(piece[3:5], 16)])
        return piece.replace("▁", " ").encode()

    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes each id stands for."""
        return np.array(
            [0 if i in self.control.values() else len(self.token(i)) for i in range(self.vocab_size)],
            dtype=np.int32,
        )

    def spans(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids and the characters each covers. Of a character in bytes every byte covers the whole."""
        made = self._model.encode(text, return_type="offset_mapping")
        ids = np.array(made["ids"], dtype=np.int64)
        spans = np.array(made["offsets"], dtype=np.int64).reshape(-1, 2)
        # The last byte of a character carries it; the ones before are empty at its beginning.
        for n in range(len(ids) - 2, -1, -1):
            if spans[n, 0] == spans[n, 1] == spans[n + 1, 0] and self._model.is_byte(int(ids[n])):
                spans[n, 1] = spans[n + 1, 1]
        return ids, spans

    def anew(self) -> SentencePiece:
        """The same, fresh."""
        return SentencePiece(*self._parts)


def flat(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids end to end (u32), and where each ends (u64)."""
    ids = np.fromiter((i for row in rows for i in row), dtype=np.uint32)
    return ids, np.cumsum([len(row) for row in rows], dtype=np.uint64)
