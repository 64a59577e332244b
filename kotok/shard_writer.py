"""Writing token shards (see kotok.shards for the layout): a part is written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kodata.run.files import atomic_json

FORMAT = "kotok.shards"
VERSION = 1
Kind = Literal["text", "chat", "pair"]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")


def token_dtype(vocab_size: int) -> np.dtype:
    """u16 while every id fits, else u32 (the rule datatrove's reader uses too)."""
    return np.dtype("<u2") if vocab_size <= 65_536 else np.dtype("<u4")


@dataclass(kw_only=True, slots=True)
class PartCount:
    """What one part of one split holds."""

    documents: int = 0
    tokens: int = 0
    targets: int = 0
    """Tokens with mask 1; for plain text every token."""
    bytes: int = 0
    """UTF-8 bytes of the text that the targets stand for (0 when not recorded)."""


class PartWriter:
    """Writes one part of one split; nothing is visible under its real name before `close()`.

    Use as a context manager: leaving it by an exception removes the temporary files.
    """

    def __init__(self, folder: str | Path, split: Split, part: int, *, kind: Kind, vocab_size: int) -> None:
        self.path = Path(folder) / split / f"{part:05d}.ds"
        self.kind: Kind = kind
        self.vocab_size = vocab_size
        self.dtype = token_dtype(vocab_size)
        self.count = PartCount()
        self._ends: list[np.ndarray] = []
        self._tokens: Any = None
        self._loss: Any = None

    def _open(self) -> None:
        # A part without documents leaves no file: an empty file cannot be memory-mapped.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Open across many calls; closed by close() or abort().
        self._tokens = open(self._temporary(""), "wb")  # noqa: SIM115
        if self.kind != "text":
            self._loss = open(self._temporary(".loss"), "wb")  # noqa: SIM115

    def _temporary(self, suffix: str) -> Path:
        # The process in the name: a worker whose parent was killed may still be writing when a new run begins.
        return self.path.with_name(f".{self.path.name}{suffix}.{os.getpid()}.tmp")

    def write(
        self, ids: Sequence[int] | np.ndarray, mask: Sequence[int] | np.ndarray | None = None, nbytes: int = 0
    ) -> None:
        """Append one document: ids (n,), mask (n,) of 0/1 (chat and pair only), UTF-8 bytes of the text to predict.

        Raises:
            ValueError: no tokens, an id outside the vocabulary, or a mask that is missing, of another length or not 0/1.
        """
        flat = np.asarray(ids, dtype=np.int64)
        self.write_batch(flat, np.array([flat.size]), mask, nbytes)

    def write_batch(
        self,
        ids: np.ndarray,
        ends: np.ndarray,
        mask: Sequence[int] | np.ndarray | None = None,
        nbytes: int = 0,
    ) -> None:
        """Append several documents: their ids end to end (n,), where each ends (documents,), mask (n,). As `write`."""
        if (
            ids.ndim != 1
            or ids.size == 0
            or int(ends[-1]) != ids.size
            or int(np.diff(ends, prepend=0).min()) < 1
        ):
            raise ValueError("every document needs at least one token")
        if int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size:
            raise ValueError(
                f"token ids {int(ids.min())}..{int(ids.max())} outside vocabulary of {self.vocab_size}"
            )
        if self._tokens is None:
            self._open()
        targets = ids.size
        if self.kind == "text":
            if mask is not None:
                raise ValueError("text shards carry no mask")
        else:
            loss = np.asarray(mask if mask is not None else [], dtype=np.int64)
            if loss.shape != ids.shape or not bool(((loss == 0) | (loss == 1)).all()):
                raise ValueError(
                    f"mask of {loss.size} values for {ids.size} tokens; it must be 0/1, one a token"
                )
            targets = int(loss.sum())
            self._loss.write(loss.astype(np.uint8).tobytes())
        self._tokens.write(ids.astype(self.dtype).tobytes())
        self._ends.append(ends.astype(np.uint64) + np.uint64(self.count.tokens))
        self.count.documents += len(ends)
        self.count.tokens += ids.size
        self.count.targets += targets
        self.count.bytes += nbytes

    def close(self) -> PartCount:
        """Put the part in place (index and mask first, tokens last) and return its counts."""
        if self._tokens is None:
            for suffix in (".index", ".loss", ""):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            return self.count
        with open(self._temporary(".index"), "wb") as index:
            index.write(np.concatenate(self._ends).astype("<u8").tobytes())
            _sync(index)
        os.replace(self._temporary(".index"), self.path.with_name(self.path.name + ".index"))
        if self._loss is not None:
            _sync(self._loss)
            self._loss.close()
            os.replace(self._temporary(".loss"), self.path.with_name(self.path.name + ".loss"))
        _sync(self._tokens)
        self._tokens.close()
        os.replace(self._temporary(""), self.path)
        self._tokens = self._loss = None
        return self.count

    def abort(self) -> None:
        """Close and remove the temporary files."""
        for handle in (self._tokens, self._loss):
            if handle is not None:
                handle.close()
        self._tokens = self._loss = None
        for suffix in ("", ".index", ".loss"):
            self._temporary(suffix).unlink(missing_ok=True)

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _sync(handle: Any) -> None:
    handle.flush()
    os.fsync(handle.fileno())


class ShardWriter:
    """The simple way to make a whole shard folder from one process: `.write(ids, mask, split=…)`, then `.close()`.

    `kotok encode` writes its parts with `PartWriter` in parallel and calls `write_meta` itself.
    """

    def __init__(
        self, folder: str | Path, *, kind: Kind, vocab_size: int, tokenizer_fingerprint: str
    ) -> None:
        self.folder = Path(folder)
        self.kind: Kind = kind
        self.vocab_size = vocab_size
        self.tokenizer_fingerprint = tokenizer_fingerprint
        self._open: dict[Split, PartWriter] = {}
        self._done: dict[Split, list[tuple[str, PartCount]]] = {}

    def write(
        self,
        ids: Sequence[int] | np.ndarray,
        mask: Sequence[int] | np.ndarray | None = None,
        *,
        split: Split = "train",
        nbytes: int = 0,
    ) -> None:
        """Append one document to the open part of `split`."""
        if split not in self._open:
            part = len(self._done.get(split, []))
            self._open[split] = PartWriter(
                self.folder, split, part, kind=self.kind, vocab_size=self.vocab_size
            )
        self._open[split].write(ids, mask, nbytes)

    def next_part(self, split: Split = "train") -> None:
        """Close the open part of `split`; the next write starts a new file."""
        writer = self._open.pop(split, None)
        if writer is not None:
            self._done.setdefault(split, []).append((writer.path.stem, writer.close()))

    def close(self, **extra: Any) -> None:
        """Close every part and write meta.json (`extra` lands in it as it is)."""
        for split in list(self._open):
            self.next_part(split)
        write_meta(
            self.folder,
            kind=self.kind,
            vocab_size=self.vocab_size,
            tokenizer_fingerprint=self.tokenizer_fingerprint,
            parts=self._done,
            extra=extra,
        )

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            for writer in self._open.values():
                writer.abort()


def write_meta(
    folder: str | Path,
    *,
    kind: Kind,
    vocab_size: int,
    tokenizer_fingerprint: str,
    parts: dict[Split, list[tuple[str, PartCount]]],
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write meta.json: the last step of making shards. `parts`: for each split (part name, counts), empty ones left out."""
    splits: dict[str, Any] = {}
    for split, counted in parts.items():
        kept = [(name, count) for name, count in counted if count.documents]
        splits[split] = {
            "documents": sum(count.documents for _, count in kept),
            "tokens": sum(count.tokens for _, count in kept),
            "targets": sum(count.targets for _, count in kept),
            "bytes": sum(count.bytes for _, count in kept),
            "parts": [
                {
                    "name": name,
                    "documents": count.documents,
                    "tokens": count.tokens,
                    "targets": count.targets,
                    "bytes": count.bytes,
                }
                for name, count in kept
            ],
        }
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "dtype": token_dtype(vocab_size).name,
        "vocab_size": vocab_size,
        "tokenizer_fingerprint": tokenizer_fingerprint,
        "splits": splits,
        **(extra or {}),
    }
    atomic_json(Path(folder) / "meta.json", meta)
    return meta
