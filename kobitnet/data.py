"""Token shards to batches, by pure functions of the sample number: resuming needs no state but the step.

Sample i of a source lies in epoch i // len, at place i % len of that epoch's permutation, which is drawn from (seed, epoch).

- `TextWindows` (pretraining): documents are read as one stream in their stored order, each closed by end-of-text, and cut
  into windows of seq_len. Attention crosses document boundaries inside a window, as in the papers' pretraining; the
  cut moves by a drawn offset every epoch.
- `PackedChats` (SFT): whole examples packed best-fit decreasing; positions restart and attention stays within an example.
- `Pairs` (DPO): chosen and rejected padded on the right to the longest of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from kobitnet.loss import IGNORE
from kodata.run.errors import UserError
from kotok.shards import Shards


@dataclass(kw_only=True, slots=True)
class Batch:
    """What one forward pass sees; all tensors (B, T) int64."""

    input_ids: Tensor
    targets: Tensor
    """The id to predict at each place (already shifted), IGNORE where nothing is learned."""
    position_ids: Tensor | None = None
    segments: Tensor | None = None
    """Number of the packed example a token belongs to; None: one causal sequence a row."""
    pairs: np.ndarray | None = None
    """(B / 2,) pair numbers: row j is the chosen answer of pairs[j], row j + B/2 the rejected one."""
    reference: Tensor | None = None
    """(B,) float32 log-probabilities of the rows under the reference model."""

    @property
    def count(self) -> int:
        """Target tokens."""
        return int((self.targets != IGNORE).sum())

    @property
    def tokens(self) -> int:
        """Tokens that go through the model, padding included."""
        return self.input_ids.numel()

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; itself when it is there already."""
        if self.input_ids.device == device:
            return self
        moved = {
            name: value.to(device, non_blocking=True)
            for name in ("input_ids", "targets", "position_ids", "segments", "reference")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)


class Source(Protocol):
    """Samples by number."""

    def __len__(self) -> int:
        """Samples in an epoch."""

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1 of the endless stream of epochs."""


class _Epochs:
    """Permutation of `size` places for each epoch, drawn from (seed, epoch)."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self._epoch = -1
        self._order = np.zeros(0, dtype=np.int64)

    def place(self, sample: int) -> tuple[int, int]:
        """(epoch, place) of a sample number."""
        epoch, index = divmod(sample, self.size)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
            self._epoch = epoch
        return epoch, int(self._order[index])


class TextWindows:
    """Pretraining: windows of seq_len + 1 tokens of the split read as one stream.

    Raises:
        UserError: the split is shorter than one window.
    """

    def __init__(self, shards: Shards, seq_len: int, seed: int) -> None:
        self.shards = shards
        self.seq_len = seq_len
        self.size = (shards.num_tokens - 1) // seq_len
        if self.size < 1:
            raise UserError(
                f"토큰이 한 시퀀스보다 적습니다 ({shards.num_tokens} tokens in '{shards.split}', one sequence needs {seq_len + 1})",
                help=f"더 많은 문서를 넣거나 --seq-len {max(8, (shards.num_tokens - 1) // 2)} 처럼 줄이세요 (more text or a shorter --seq-len)",
                file=shards.folder,
            )
        self._epochs = _Epochs(self.size, seed)
        self.slack = shards.num_tokens - 1 - self.size * seq_len

    def __len__(self) -> int:
        return self.size

    def batch(self, first: int, count: int) -> Batch:
        rows = np.empty((count, self.seq_len + 1), dtype=np.int64)
        for row, sample in enumerate(range(first, first + count)):
            epoch, place = self._epochs.place(sample)
            offset = (
                int(np.random.default_rng([self._epochs.seed, epoch, 1]).integers(self.slack + 1))
                if epoch
                else 0
            )
            start = offset + place * self.seq_len
            rows[row] = self.shards.span(start, start + self.seq_len + 1)
        ids = torch.from_numpy(rows)
        return Batch(input_ids=ids[:, :-1], targets=ids[:, 1:])


class Switched:
    """Two sources one after the other: samples below `at` come from the first, the others from the second, each from its
    own start. The data switch of two-stage training (2B4T report, section 3.1.2): `at` is the first sample of a step."""

    def __init__(self, first: Source, second: Source, at: int) -> None:
        self.first = first
        self.second = second
        self.at = at

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def batch(self, first: int, count: int) -> Batch:
        if first < self.at:
            return self.first.batch(first, count)
        return self.second.batch(first - self.at, count)


def example_lengths(shards: Shards, *, pairs: bool = False) -> np.ndarray:
    """Tokens the model reads of each example (the longer answer of each pair): all but the last."""
    lengths = shards.lengths() - 1
    return lengths.reshape(-1, 2).max(axis=1) if pairs else lengths


def usable(
    shards: Shards, seq_len: int, too_long: Literal["error", "drop"], *, pairs: bool = False
) -> np.ndarray:
    """Numbers of the examples (pairs when `pairs`) that fit into seq_len tokens.

    Raises:
        UserError: an example is longer and `too_long` is "error", or none is left.
    """
    lengths = example_lengths(shards, pairs=pairs)
    long = np.flatnonzero(lengths > seq_len)
    what = "쌍 (pairs)" if pairs else "대화 (chats)"
    if len(long) and too_long == "error":
        raise UserError(
            f"{what} {len(long)}/{len(lengths)}개가 --seq-len {seq_len} 보다 깁니다 (too long, e.g. number {long[0]}: {lengths[long[0]]} tokens)",
            help=f"--seq-len {int(lengths.max())} 로 늘리거나 --too-long drop 으로 빼세요 (a longer --seq-len, or --too-long drop)",
            file=shards.folder,
        )
    kept = np.flatnonzero(lengths <= seq_len)
    if not len(kept):
        raise UserError(
            f"--seq-len {seq_len} 에 들어가는 {what}가 없습니다 (nothing fits, the shortest has {int(lengths.min())} tokens)",
            help=f"--seq-len {int(np.median(lengths))}",
            file=shards.folder,
        )
    return kept


def pack(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """Best-fit decreasing: bins of item numbers whose lengths sum to at most `capacity`; ties in input order.

    Each item goes to the fullest bin with room for it. Every item must fit an empty bin.
    """
    order = np.argsort(-lengths, kind="stable")
    with_room: dict[int, list[int]] = {}  # free tokens -> bins, last opened on top
    bins: list[list[int]] = []
    for item in order:
        need = int(lengths[item])
        room = min((free for free in with_room if free >= need), default=None)
        if room is None:
            chosen, room = len(bins), capacity
            bins.append([])
        else:
            chosen = with_room[room].pop()
            if not with_room[room]:
                del with_room[room]
        bins[chosen].append(int(item))
        with_room.setdefault(room - need, []).append(chosen)
    return bins


def shifted(shards: Shards, document: int) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, targets) of a masked document, both (n - 1,) int64: the mask belongs to the token that is predicted."""
    ids = shards.tokens(document).astype(np.int64)
    mask = shards.mask(document)
    targets = ids[1:].copy()
    if mask is not None:
        targets[mask[1:] == 0] = IGNORE
    return ids[:-1], targets


class PackedChats:
    """SFT: whole examples in rows of seq_len; `segments` and `position_ids` keep them apart.

    Padding is a segment of its own at the end of a row, with no targets. Raises what `usable` raises.
    """

    def __init__(
        self,
        shards: Shards,
        seq_len: int,
        seed: int,
        *,
        pad_id: int,
        too_long: Literal["error", "drop"] = "error",
    ) -> None:
        self.shards = shards
        self.seq_len = seq_len
        self.pad_id = pad_id
        self.kept = usable(shards, seq_len, too_long)
        self.dropped = len(shards) - len(self.kept)
        self.bins = pack(shards.lengths()[self.kept] - 1, seq_len)
        self._epochs = _Epochs(len(self.bins), seed)

    def __len__(self) -> int:
        return len(self.bins)

    def batch(self, first: int, count: int) -> Batch:
        places = [self._epochs.place(sample)[1] for sample in range(first, first + count)]
        ids = np.full((count, self.seq_len), self.pad_id, dtype=np.int64)
        targets = np.full_like(ids, IGNORE)
        positions = np.zeros_like(ids)
        segments = np.full_like(ids, -1)
        used = 0
        for row, place in enumerate(places):
            end = 0
            for number, item in enumerate(self.bins[place]):
                inputs, learned = shifted(self.shards, int(self.kept[item]))
                span = slice(end, end + len(inputs))
                ids[row, span], targets[row, span] = inputs, learned
                positions[row, span], segments[row, span] = np.arange(len(inputs)), number
                end += len(inputs)
            used = max(used, end)
        cut = slice(0, used)  # no column that is padding in every row
        return Batch(
            input_ids=torch.from_numpy(ids[:, cut]),
            targets=torch.from_numpy(targets[:, cut]),
            position_ids=torch.from_numpy(positions[:, cut]),
            segments=torch.from_numpy(segments[:, cut]),
        )


class Pairs:
    """DPO: pairs by number; right padding, which causal attention never looks at. Raises what `usable` raises."""

    def __init__(
        self,
        shards: Shards,
        seq_len: int,
        seed: int,
        *,
        pad_id: int,
        too_long: Literal["error", "drop"] = "error",
    ) -> None:
        self.shards = shards
        self.pad_id = pad_id
        self.kept = usable(shards, seq_len, too_long, pairs=True)
        self.dropped = len(shards) // 2 - len(self.kept)
        self.reference: np.ndarray | None = None
        """(pairs, 2) log-probabilities of chosen and rejected under the reference model, set by kobitnet dpo."""
        self._epochs = _Epochs(len(self.kept), seed)

    def __len__(self) -> int:
        return len(self.kept)

    def batch(self, first: int, count: int) -> Batch:
        places = [self._epochs.place(sample)[1] for sample in range(first, first + count)]
        return self.of(np.asarray(places))

    def of(self, places: np.ndarray) -> Batch:
        """The batch of given places among the kept pairs."""
        documents = [2 * int(self.kept[p]) for p in places] + [2 * int(self.kept[p]) + 1 for p in places]
        rows = [shifted(self.shards, document) for document in documents]
        width = max(len(inputs) for inputs, _ in rows)
        ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        targets = np.full_like(ids, IGNORE)
        for row, (inputs, learned) in enumerate(rows):
            ids[row, : len(inputs)], targets[row, : len(inputs)] = inputs, learned
        reference = (
            None if self.reference is None else torch.from_numpy(self.reference[places].T.reshape(-1).copy())
        )
        return Batch(
            input_ids=torch.from_numpy(ids),
            targets=torch.from_numpy(targets),
            pairs=places,
            reference=reference,
        )
