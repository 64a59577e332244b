"""Packed examples do not see one another: their logits are those of the example alone."""

import numpy as np
import pytest
import torch

from kobitnet.data import PackedChats
from kobitnet.model import build_model, hidden_states, model_config
from kotok.shards import open_shards

from . import toy


@pytest.mark.parametrize("quant", ["b1.58", "none"])
def test_logits_of_packed_examples_are_those_of_each_alone(tmp_path, quant):
    made = toy.tokenizer()
    shards = open_shards(toy.chat_shards(tmp_path))
    model = build_model(model_config(toy.SMALL, vocab_size=made.vocab_size), quant, seed=3).eval()
    packed = PackedChats(shards, 192, 0, pad_id=made.pad_id)
    assert max(map(len, packed.bins)) > 1  # several examples in a row
    batch = packed.batch(0, len(packed))
    checked = 0
    with torch.no_grad():
        together = (
            hidden_states(model, batch.input_ids, batch.position_ids, batch.segments) @ model.lm_head.weight.T
        )
        for row in range(len(packed)):
            for segment in sorted(set(batch.segments[row].tolist()) - {-1}):
                where = batch.segments[row] == segment
                alone = model(input_ids=batch.input_ids[row][where][None]).logits[0]
                assert torch.allclose(together[row][where], alone, atol=2e-5), (row, segment)
                checked += 1
        # Changing one example changes nothing in its neighbours.
        row = int(np.argmax([len(set(s.tolist()) - {-1}) for s in batch.segments]))
        first = batch.segments[row] == 0
        other = batch.input_ids.clone()
        other[row][first] = torch.flip(other[row][first], [0])
        changed = hidden_states(model, other, batch.position_ids, batch.segments) @ model.lm_head.weight.T
        rest = (batch.segments[row] > 0).nonzero()[:, 0]
        assert torch.allclose(changed[row][rest], together[row][rest], atol=2e-5)
        assert not torch.allclose(changed[row][first], together[row][first], atol=1e-2)
    assert checked == len(shards)
