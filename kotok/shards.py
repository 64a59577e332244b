"""Token shards on disk: datatrove's byte layout, plus a loss mask and one meta.json.

    shards/meta.json               kind, dtype, vocabulary size, tokenizer fingerprint, counts per split and part
    shards/train/00000.ds          token ids, little-endian u16 (vocabulary <= 65,536) or u32, documents end to end
    shards/train/00000.ds.index    u64 document ends, in tokens, counted from the start of the part
    shards/train/00000.ds.loss     u8 a token, 1 = this token is a target (not shifted); left out for plain text
    shards/val/...                 the same for what was held out
    shards/tokenizer/              a copy of the tokenizer

Kinds: text (end-of-text closes every document, no BOS), chat (ids and mask of kotok.chat), pair (document 2i is the
chosen answer, 2i+1 the rejected one, both with their prompt). A part exists as soon as its `.ds` does: index and mask
are renamed into place before it, so a killed writer never leaves a part that looks whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kodata.run.errors import UserError
from kodata.run.files import read_json
from kotok.shard_writer import FORMAT, VERSION, Kind, ShardWriter, Split, token_dtype

__all__ = ["ShardWriter", "Shards", "open_shards", "read_meta", "token_dtype"]

# Token ids are compared with the vocabulary when shards are opened. Up to this many tokens all of them are read
# (about a third of a second); of larger sets the head and the tail of each part, so that opening stays quick.
FULL_CHECK_TOKENS = 256_000_000
EDGE_CHECK_TOKENS = 1_000_000
CHECK_CHUNK = 8_000_000


@dataclass(slots=True)
class _Part:
    tokens: np.ndarray
    """(tokens,) u16 or u32, memory-mapped."""
    starts: np.ndarray
    """(documents + 1,) u64: document i of the part is tokens[starts[i]:starts[i + 1]]."""
    loss: np.ndarray | None
    """(tokens,) u8, memory-mapped."""


@dataclass(slots=True)
class Shards:
    """One split of a shard folder, memory-mapped. Documents keep the order of parts; pickles as its path."""

    folder: Path
    split: Split
    kind: Kind
    vocab_size: int
    tokenizer_fingerprint: str
    num_tokens: int
    num_targets: int
    bytes: int | None
    """UTF-8 bytes of the text that the split's targets stand for, None when not recorded (for bits per byte)."""
    meta: dict[str, Any] = field(repr=False)
    _parts: list[_Part] = field(repr=False)
    _first_document: np.ndarray = field(repr=False)
    """(parts + 1,) index of the first document of each part."""
    _first_token: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return int(self._first_document[-1])

    def __reduce__(self) -> tuple[Any, ...]:
        return open_shards, (self.folder, self.split)

    def _repr_html_(self) -> str:
        """Counts, and the first documents as tokens (learned and masked ones told apart)."""
        from kodata.report import blocks
        from kodata.report.html import fragment
        from kotok.tokenizer import load, show

        tokenizer = load(self.tokenizer)
        rows = []
        for i in range(min(len(self), 3)):
            ids, mask = self.tokens(i)[:160], self.mask(i)
            kinds = range(len(ids)) if mask is None else ["learned" if m else "masked" for m in mask]
            rows.append([(show(tokenizer.token(int(t))), k) for t, k in zip(ids, kinds, strict=False)])
        facts = {
            "종류 (kind)": self.kind,
            "문서 (documents)": len(self),
            "토큰 (tokens)": self.num_tokens,
            "배우는 토큰 (learned tokens)": self.num_targets,
            "어휘 (vocabulary)": self.vocab_size,
        }
        title = f"토큰 샤드 (token shards): {self.folder} · {self.split}"
        return fragment([blocks.facts(title, facts), blocks.tokens("앞의 문서 (first documents)", rows)])

    @property
    def dtype(self) -> np.dtype:
        return token_dtype(self.vocab_size)

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer these shards were made with."""
        return self.folder / "tokenizer"

    def _locate(self, document: int) -> tuple[_Part, int]:
        if not 0 <= document < len(self):
            raise IndexError(f"document {document} of {len(self)}")
        part = int(np.searchsorted(self._first_document, document, side="right")) - 1
        return self._parts[part], document - int(self._first_document[part])

    def tokens(self, i: int) -> np.ndarray:
        """Token ids of document i, (n,) u16 or u32, a view of the file."""
        part, local = self._locate(i)
        return part.tokens[int(part.starts[local]) : int(part.starts[local + 1])]

    def mask(self, i: int) -> np.ndarray | None:
        """Loss mask of document i, (n,) u8 of 0/1; None for text, where every token is a target."""
        part, local = self._locate(i)
        if part.loss is None:
            return None
        return part.loss[int(part.starts[local]) : int(part.starts[local + 1])]

    def lengths(self) -> np.ndarray:
        """Tokens of every document, (documents,) int64."""
        sizes = [np.diff(part.starts.astype(np.int64)) for part in self._parts]
        return np.concatenate(sizes) if sizes else np.zeros(0, dtype=np.int64)

    def span(self, start: int, stop: int) -> np.ndarray:
        """Token ids start:stop of the whole split read as one stream (text packing), a copy of shape (stop - start,)."""
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"tokens {start}:{stop} of {self.num_tokens}")
        pieces = []
        part = int(np.searchsorted(self._first_token, start, side="right")) - 1
        while start < stop:
            base = int(self._first_token[part])
            upto = min(stop, int(self._first_token[part + 1]))
            pieces.append(self._parts[part].tokens[start - base : upto - base])
            start, part = upto, part + 1
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=self.dtype)

    def documents(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """(tokens, mask) of every document in order."""
        for part in self._parts:
            starts = part.starts.tolist()
            for begin, end in pairwise(starts):
                yield part.tokens[begin:end], None if part.loss is None else part.loss[begin:end]


def read_meta(folder: str | Path) -> dict[str, Any]:
    """meta.json of a shard folder, checked for format and version."""
    path = Path(folder)
    if not (path / "meta.json").is_file():
        hint = f"kotok encode 말뭉치 --tok tok/ -o {path}"
        if (path / "manifest.json").is_file():
            hint = "만들다 멈춘 조각이면 같은 kotok encode 명령을 다시 실행하세요 (run the same kotok encode again)"
        raise UserError(
            f"토큰 조각 폴더가 아닙니다 (not a token shard folder, no meta.json): {path}", help=hint
        )
    meta = read_json(path / "meta.json")
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise UserError(
            f"토큰 조각의 meta.json이 아닙니다 (not a shard meta.json): {path / 'meta.json'}",
            help="kotok encode로 다시 만드세요 (make the shards again)",
        )
    if meta.get("version") != VERSION:
        raise UserError(
            f"조각 형식 판이 다릅니다 (shard format version {meta.get('version')}, expected {VERSION}): {path}",
            help="kotok encode로 다시 만드세요 (make the shards again)",
        )
    return meta


def open_shards(folder: str | Path, split: Split = "train") -> Shards:
    """Open one split, memory-mapped, after checking that sizes agree and ids are inside the vocabulary.

    Raises:
        UserError: no such folder or split, a file missing or of a wrong size, an id outside the vocabulary.
    """
    path = Path(folder)
    meta = read_meta(path)
    entry = meta["splits"].get(split)
    if entry is None or not entry["documents"]:
        there = ", ".join(name for name, value in meta["splits"].items() if value["documents"]) or "-"
        raise UserError(
            f"조각에 {split} 부분이 없습니다 (no '{split}' split; there are: {there}): {path}",
            help="kotok encode … --val 0.02 로 다시 만드세요 (make the shards again with a hold-out)"
            if split == "val"
            else "kotok encode로 다시 만드세요 (make the shards again)",
        )
    kind: Kind = meta["kind"]
    vocab_size = int(meta["vocab_size"])
    dtype = token_dtype(vocab_size)
    total = int(entry["tokens"])
    parts = []
    for item in entry["parts"]:
        file = path / split / f"{item['name']}.ds"
        part = _open_part(file, int(item["tokens"]), int(item["documents"]), dtype, masked=kind != "text")
        _check_ids(part.tokens, vocab_size, file, full=total <= FULL_CHECK_TOKENS)
        parts.append(part)
    documents = np.cumsum([0] + [len(part.starts) - 1 for part in parts])
    tokens = np.cumsum([0] + [len(part.tokens) for part in parts])
    if int(documents[-1]) != entry["documents"] or int(tokens[-1]) != total:
        raise _damaged(path / "meta.json", "문서나 토큰 수의 합 (sums of documents or tokens)")
    if kind == "pair" and int(documents[-1]) % 2:
        raise _damaged(
            path / "meta.json", f"쌍인데 문서가 홀수 (odd number of documents in pairs: {documents[-1]})"
        )
    return Shards(
        folder=path,
        split=split,
        kind=kind,
        vocab_size=vocab_size,
        tokenizer_fingerprint=meta["tokenizer_fingerprint"],
        num_tokens=total,
        num_targets=int(entry["targets"]),
        bytes=int(entry["bytes"]) or None,
        meta=meta,
        _parts=parts,
        _first_document=documents,
        _first_token=tokens,
    )


def _open_part(file: Path, tokens: int, documents: int, dtype: np.dtype, *, masked: bool) -> _Part:
    index = file.with_name(file.name + ".index")
    loss = file.with_name(file.name + ".loss")
    expected = {file: tokens * dtype.itemsize, index: documents * 8}
    if masked:
        expected[loss] = tokens
    for name, size in expected.items():
        if not name.is_file():
            raise _damaged(name, "파일이 없음 (missing)")
        if name.stat().st_size != size:
            raise _damaged(name, f"{name.stat().st_size} 바이트, {size} 이어야 함 (bytes, should be {size})")
    starts = np.zeros(documents + 1, dtype="<u8")
    starts[1:] = np.fromfile(index, dtype="<u8")
    if int(starts[-1]) != tokens or not bool((starts[1:] > starts[:-1]).all()):
        raise _damaged(index, "문서 끝 위치가 어긋남 (document ends do not fit)")
    return _Part(
        tokens=np.memmap(file, dtype=dtype, mode="r"),
        starts=starts,
        loss=np.memmap(loss, dtype=np.uint8, mode="r") if masked else None,
    )


def _check_ids(tokens: np.ndarray, vocab_size: int, file: Path, *, full: bool) -> None:
    size = len(tokens)
    if full:
        chunks = [(start, start + CHECK_CHUNK) for start in range(0, size, CHECK_CHUNK)]
    else:
        chunks = [(0, EDGE_CHECK_TOKENS), (max(0, size - EDGE_CHECK_TOKENS), size)]
    for start, stop in chunks:
        largest = int(tokens[start:stop].max())
        if largest >= vocab_size:
            raise _damaged(file, f"어휘 밖의 번호 (id {largest} outside the vocabulary of {vocab_size})")


def _damaged(file: Path, what: str) -> UserError:
    return UserError(
        f"조각이 망가졌습니다 (damaged shards): {file}: {what}",
        help="kotok encode … --fresh 로 다시 만드세요 (make the shards again)",
    )
