"""Batches: windows cover the text, packing keeps everything once, targets follow the mask, too long is said."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kobitnet.data import PackedChats, Pairs, TextWindows, pack, shifted
from kobitnet.loss import IGNORE
from kodata.run.errors import UserError
from kotok.shards import open_shards

from . import toy


def test_windows_are_the_text(tmp_path):
    shards = open_shards(toy.text_shards(tmp_path))
    source = TextWindows(shards, 32, seed=1)
    stream = shards.span(0, shards.num_tokens)
    starts = []
    for i in range(len(source)):
        batch = source.batch(i, 1)
        row = np.concatenate([batch.input_ids[0].numpy(), batch.targets[0, -1:].numpy()])
        assert np.array_equal(batch.input_ids[0, 1:], batch.targets[0, :-1])
        at = [s for s in range(0, len(stream) - 32, 32) if np.array_equal(stream[s : s + 33], row)]
        assert at
        starts += at
    assert set(starts) == set(range(0, len(source) * 32, 32))  # one epoch reads every window
    assert starts != sorted(starts)


def test_batches_are_functions_of_the_number(tmp_path):
    shards = open_shards(toy.text_shards(tmp_path))
    a, b = TextWindows(shards, 16, seed=5), TextWindows(shards, 16, seed=5)
    far = 3 * len(a) + 2  # the fourth epoch
    a.batch(0, 4)
    assert torch.equal(a.batch(far, 3).input_ids, b.batch(far, 3).input_ids)
    assert torch.equal(a.batch(far, 3).input_ids[1:], b.batch(far + 1, 2).input_ids)
    assert not torch.equal(TextWindows(shards, 16, seed=6).batch(0, 4).input_ids, b.batch(0, 4).input_ids)


def test_text_shorter_than_a_sequence(tmp_path):
    shards = open_shards(toy.text_shards(tmp_path, documents=3))
    with pytest.raises(UserError, match="one sequence needs 4097") as error:
        TextWindows(shards, 4096, seed=0)
    assert "--seq-len" in error.value.help


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_packing(lengths):
    sizes = np.asarray(lengths)
    bins = pack(sizes, 40)
    assert sorted(i for b in bins for i in b) == list(range(len(lengths)))
    totals = [sum(lengths[i] for i in b) for b in bins]
    assert max(totals) <= 40
    # Best fit leaves no two bins that fit into one.
    assert len(bins) == 1 or sum(sorted(totals)[:2]) > 40
    assert bins == pack(sizes, 40)


def test_targets_are_the_learned_tokens(tmp_path):
    shards = open_shards(toy.chat_shards(tmp_path))
    inputs, targets = shifted(shards, 0)
    ids, mask = shards.tokens(0), shards.mask(0)
    assert np.array_equal(inputs, ids[:-1])
    assert np.array_equal(targets[targets != IGNORE], ids[mask == 1])
    assert (targets != IGNORE).sum() == mask.sum()


def test_packed_rows(tmp_path):
    shards = open_shards(toy.chat_shards(tmp_path))
    source = PackedChats(shards, 192, seed=0, pad_id=319)
    batch = source.batch(0, len(source))
    assert batch.count == shards.num_targets
    seen = 0
    for row in range(len(source)):
        for segment in batch.segments[row].unique().tolist():
            where = batch.segments[row] == segment
            if segment < 0:
                assert (batch.targets[row][where] == IGNORE).all() and (
                    batch.input_ids[row][where] == 319
                ).all()
                continue
            assert batch.position_ids[row][where].tolist() == list(range(int(where.sum())))
            seen += 1
    assert seen == len(shards)


def test_too_long_stops_or_is_left_out(tmp_path):
    shards = open_shards(toy.chat_shards(tmp_path))
    lengths = shards.lengths() - 1
    limit = int(np.sort(lengths)[-3])
    with pytest.raises(UserError, match="too long") as error:
        PackedChats(shards, limit, seed=0, pad_id=0)
    assert str(int(lengths.max())) in error.value.help
    kept = PackedChats(shards, limit, seed=0, pad_id=0, too_long="drop")
    assert kept.dropped == int((lengths > limit).sum()) > 0
    with pytest.raises(UserError, match="nothing fits"):
        PackedChats(shards, 8, seed=0, pad_id=0, too_long="drop")


def test_pairs(tmp_path):
    shards = open_shards(toy.pair_shards(tmp_path))
    pairs = Pairs(shards, 256, seed=0, pad_id=0)
    pairs.reference = np.arange(12, dtype=np.float32).reshape(6, 2)
    batch = pairs.batch(0, 4)
    for row, number in enumerate(batch.pairs):
        for half, document in ((0, 2 * number), (4, 2 * number + 1)):
            targets = batch.targets[row + half]
            ids, mask = shards.tokens(int(document)), shards.mask(int(document))
            assert np.array_equal(targets[targets != IGNORE], ids[mask == 1])
        assert batch.reference[row] == 2 * number and batch.reference[row + 4] == 2 * number + 1
