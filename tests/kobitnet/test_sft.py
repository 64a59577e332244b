"""SFT: only answer tokens count, stages chain, refusals."""

import math

import numpy as np
import pytest
import torch

from kobitnet.checkpoint import load_model
from kobitnet.data import PackedChats
from kobitnet.sft import SftConfig, sft
from kobitnet.train import causal_lm
from kodata.run.errors import UserError
from kotok.shards import ShardWriter, open_shards
from kotok.tokenizer import build

from . import toy


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return toy.pretrained(tmp_path_factory.mktemp("pretrained"), steps=20)


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    return toy.chat_shards(tmp_path_factory.mktemp("chats"))


def settings(**changes):
    return SftConfig(
        **{"steps": 15, "batch_size": 2, "seq_len": 192, "lr": 3e-3, "threads": 1, "eval_every": 0, **changes}
    )


def test_loss_counts_answers_only(pretrained, chats):
    """The packed loss is the mean of -log p over learned tokens, computed here one example at a time."""
    model, tokenizer = load_model(pretrained)
    shards = open_shards(chats)
    source = PackedChats(shards, 192, 0, pad_id=tokenizer.pad_id)
    with torch.no_grad():
        loss = causal_lm(model, source.batch(0, len(source)))
        total = count = 0
        for i in range(len(shards)):
            ids, mask = torch.from_numpy(shards.tokens(i).astype(np.int64)), shards.mask(i)
            logp = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
            picked = logp.gather(-1, ids[1:, None])[:, 0]
            total -= float(picked[torch.from_numpy(mask[1:] == 1)].sum())
            count += int(mask.sum())
    assert loss.count == count == shards.num_targets
    assert float(loss.total) / count == pytest.approx(total / count, abs=1e-4)


def test_prompt_gets_no_gradient_of_its_own(pretrained, chats):
    """Changing what is masked out of the targets cannot change the loss: a prompt token is never a target."""
    model, tokenizer = load_model(pretrained)
    batch = PackedChats(open_shards(chats), 192, 0, pad_id=tokenizer.pad_id).batch(0, 2)
    prompts = batch.targets == -100
    assert 0.3 < float(prompts.float().mean()) < 0.95
    before = causal_lm(model, batch)
    hidden_targets = batch.targets[~prompts]
    assert before.count == len(hidden_targets)


def test_learns_and_says_it_is_sft(pretrained, chats, tmp_path):
    result = sft(chats, source=pretrained, output=tmp_path / "run", config=settings())
    assert result.summary["loss"] < result.summary["loss_first"] - 0.3
    assert result.summary["chats"] == 10 and 0.1 < result.summary["learned_share"] < 0.9
    assert load_model(tmp_path / "run")[0].kobitnet["stage"] == "sft"
    assert math.isfinite(result.summary["val_loss"])
    assert any(b["type"] == "samples" for b in result.report)


def test_other_tokenizer_is_refused(pretrained, tmp_path):
    other = build([(0xEA, 0xB0, 256)] + [(0xEB, 0x80 + i, 257 + i) for i in range(47)], "llama-bpe")
    with ShardWriter(
        tmp_path / "chat", kind="chat", vocab_size=other.vocab_size, tokenizer_fingerprint=other.fingerprint
    ) as writer:
        writer.write(*toy.turn(other, "수도는?", "서울입니다."))
    other.save(tmp_path / "chat" / "tokenizer")
    with pytest.raises(UserError, match="tokenizers differ") as error:
        sft(tmp_path / "chat", source=pretrained, output=tmp_path / "run", config=settings())
    assert "kotok encode" in error.value.help


def test_text_shards_are_refused(pretrained, tmp_path):
    with pytest.raises(UserError, match="text shards, chat needed"):
        sft(toy.text_shards(tmp_path / "t"), source=pretrained, output=tmp_path / "run", config=settings())


def test_too_long_is_said_before_training(pretrained, chats, tmp_path):
    limit = int(np.sort(open_shards(chats).lengths())[4])
    with pytest.raises(UserError, match="too long"):
        sft(chats, source=pretrained, output=tmp_path / "run", config=settings(seq_len=limit))
    assert not (tmp_path / "run").exists()
    result = sft(
        chats,
        source=pretrained,
        output=tmp_path / "run2",
        config=settings(seq_len=limit, too_long="drop", steps=1),
    )
    assert result.summary["chats_dropped"] > 0
