"""TRL reads our JSONL and our checkpoint: the same tokens, masks and losses as kotok and kobitnet."""

import json
import shutil

import numpy as np
import pytest
import torch

from kobitnet.checkpoint import load_model, state_tensors, write_tensors
from kobitnet.data import PackedChats, Pairs
from kobitnet.dpo import DpoConfig, preference, reference_logprobs
from kobitnet.train import causal_lm
from kodata.chat.dpo import dpo as build_pairs
from kodata.chat.sft import SftConfig as BuildConfig
from kodata.chat.sft import sft as build_chats
from kotok.encode import EncodeConfig, encode
from kotok.shards import open_shards
from kotok.template import TEMPLATES
from kotok.tokenizer import build
from tests import chat_layouts as made

from . import toy

pytest.importorskip("trl")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model of a few steps; its folder holds the tokenizer with the default template."""
    run = toy.pretrained(tmp_path_factory.mktemp("base"), steps=4, batch_size=2)
    build(toy.tokenizer().merges, "llama-bpe", {"chat_template": TEMPLATES["bitnet"].jinja}).save(
        run / "model"
    )
    return run


def write(path, records):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return str(path)


def chat_rows():
    """Single turns, a system message, several turns, and a turn that is shown and not learned."""
    for question, answer, _ in toy.QUESTIONS[:4]:
        yield {"instruction": question, "output": answer}
    (q1, a1, _), (q2, a2, _) = toy.QUESTIONS[4:]
    turns = [("system", "짧게 답하라."), ("user", q1), ("assistant", a1), ("user", q2), ("assistant", a2)]
    yield {"messages": [{"role": r, "content": c} for r, c in turns]}
    yield {
        "messages": [
            {"role": r, "content": c + "!", **({"train": False} if c == a1 else {})} for r, c in turns[1:]
        ]
    }


def shards_of(folder, base, path):
    encode([str(path)], tok=base / "model", output=folder / "shards", config=EncodeConfig(val=0))
    return open_shards(folder / "shards")


@pytest.fixture(scope="module")
def chats(base, tmp_path_factory):
    """(chat JSONL, shards) made by our own verbs."""
    folder = tmp_path_factory.mktemp("chats")
    build_chats(
        [write(folder / "raw.jsonl", chat_rows())], output=folder / "chat.jsonl", config=BuildConfig(near=0)
    )
    return folder / "chat.jsonl", shards_of(folder, base, folder / "chat.jsonl")


@pytest.fixture(scope="module")
def pairs(base, tmp_path_factory):
    """(pair JSONL, shards) made by our own verbs."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = [{"prompt": q, "chosen": a, "rejected": r} for q, a, r in toy.QUESTIONS]
    build_pairs([write(folder / "raw.jsonl", rows)], output=folder / "pairs.jsonl")
    return folder / "pairs.jsonl", shards_of(folder, base, folder / "pairs.jsonl")


def dataset(path, *columns):
    from datasets import Dataset

    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Dataset.from_list([{c: row[c] for c in columns} for row in rows])


def sft_trainer(base, path, folder, **more):
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=str(folder), assistant_only_loss=True, max_length=None, use_cpu=True, report_to="none", bf16=False,
        per_device_train_batch_size=8, max_steps=1, logging_steps=1, save_strategy="no", seed=0, disable_tqdm=True,
        model_init_kwargs={"dtype": "float32"}, **more,
    )  # fmt: skip
    return SFTTrainer(model=str(base / "model"), args=config, train_dataset=dataset(path, "messages"))


def dpo_trainer(policy, reference, path, folder):
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(
        output_dir=str(folder), beta=0.1, max_length=None, use_cpu=True, report_to="none", bf16=False,
        per_device_train_batch_size=8, max_steps=1, logging_steps=1, save_strategy="no", seed=0, disable_tqdm=True,
        model_init_kwargs={"dtype": "float32"},
    )  # fmt: skip
    ref = AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32)
    return DPOTrainer(
        model=str(policy),
        ref_model=ref,
        args=config,
        train_dataset=dataset(path, "prompt", "chosen", "rejected"),
    )


def compare_chats(trainer, shards):
    """TRL's dataset and collator against our shards: ids and learned tokens, example by example."""
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
    assert len(batch["labels"]) == len(shards)
    for row in range(len(shards)):
        kept = batch["attention_mask"][row].bool().numpy()
        ids, labels = batch["input_ids"][row].numpy()[kept], batch["labels"][row].numpy()[kept]
        assert np.array_equal(ids, shards.tokens(row))
        assert np.array_equal(labels != -100, shards.mask(row) == 1)
        assert np.array_equal(labels[labels != -100], shards.tokens(row)[shards.mask(row) == 1])


def compare_pairs(trainer, shards):
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
    half = len(shards) // 2
    assert len(batch["input_ids"]) == len(shards)
    for row in range(len(shards)):
        document = 2 * row if row < half else 2 * (row - half) + 1
        kept = batch["attention_mask"][row].bool().numpy()
        assert np.array_equal(batch["input_ids"][row].numpy()[kept], shards.tokens(document))
        assert np.array_equal(batch["completion_mask"][row].numpy()[kept], shards.mask(document))


def test_sft_masks_are_those_of_trl(base, chats, tmp_path):
    path, shards = chats
    assert len(shards) == 6
    compare_chats(sft_trainer(base, path, tmp_path), shards)


def test_dpo_masks_are_those_of_trl(base, pairs, tmp_path):
    path, shards = pairs
    compare_pairs(dpo_trainer(base / "model", base / "model", path, tmp_path), shards)


def test_masks_of_every_layout_are_those_of_trl(base, tmp_path):
    """The fixtures of all layouts through our builder, then both tokenisations."""
    files = [made.write(tmp_path, name, *made.SFT[name][:2]) for name in made.SFT]
    build_chats(files, output=tmp_path / "chat.jsonl", config=BuildConfig(near=0))
    shards = shards_of(tmp_path / "c", base, tmp_path / "chat.jsonl")
    assert len(shards) >= 20  # many layouts hold the same question, and equal chats are dropped
    compare_chats(sft_trainer(base, tmp_path / "chat.jsonl", tmp_path / "trl"), shards)
    files = [made.write(tmp_path, f"p_{name}", *made.DPO[name][:2]) for name in made.DPO]
    build_pairs(files, output=tmp_path / "pairs.jsonl")
    shards = shards_of(tmp_path / "p", base, tmp_path / "pairs.jsonl")
    compare_pairs(
        dpo_trainer(base / "model", base / "model", tmp_path / "pairs.jsonl", tmp_path / "trl2"), shards
    )


@pytest.mark.slow
def test_masks_of_real_files_are_those_of_trl(base, real_data, tmp_path):
    build_chats([str(real_data / "instruct")], output=tmp_path / "chat.jsonl", limit=400)
    shards = shards_of(tmp_path / "c", base, tmp_path / "chat.jsonl")
    compare_chats(sft_trainer(base, tmp_path / "chat.jsonl", tmp_path / "trl"), shards)
    build_pairs([str(real_data / "preference")], output=tmp_path / "pairs.jsonl")
    shards = shards_of(tmp_path / "p", base, tmp_path / "pairs.jsonl")
    assert len(shards) > 200
    compare_pairs(
        dpo_trainer(base / "model", base / "model", tmp_path / "pairs.jsonl", tmp_path / "trl2"), shards
    )


@pytest.mark.slow
def test_first_sft_loss_is_that_of_trl(base, chats, tmp_path):
    """One SFTTrainer step on our JSONL and checkpoint logs the loss that our objective has on packed rows."""
    path, shards = chats
    trainer = sft_trainer(base, path, tmp_path)
    trainer.train()
    theirs = trainer.state.log_history[0]["loss"]
    model, tokenizer = load_model(base)
    packed = PackedChats(shards, 256, 0, pad_id=tokenizer.pad_id)
    assert len(packed) < len(shards)  # several examples a row
    with torch.no_grad():
        ours = causal_lm(model, packed.batch(0, len(packed)))
    assert float(ours.total) / ours.count == pytest.approx(theirs, abs=1e-4)


@pytest.mark.slow
def test_first_dpo_loss_is_that_of_trl(base, pairs, tmp_path):
    """One DPOTrainer step, with a reference that is not the policy, so that the loss is not just ln 2."""
    path, shards = pairs
    model, tokenizer = load_model(base)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter += 0.2 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    other = tmp_path / "policy"
    shutil.copytree(base / "model", other)
    write_tensors(other / "model.safetensors", state_tensors(model))
    trainer = dpo_trainer(other, base / "model", path, tmp_path / "trl")
    trainer.train()
    theirs = trainer.state.log_history[0]

    source = Pairs(shards, 256, 0, pad_id=tokenizer.pad_id)
    reference, _ = load_model(base)
    policy, _ = load_model(other)
    source.reference = reference_logprobs(reference, source, DpoConfig(), "test")
    with torch.no_grad():
        ours = preference(0.1)(policy, source.of(np.arange(len(source))))
    assert abs(float(ours.total) / ours.count - np.log(2)) > 1e-3
    assert float(ours.total) / ours.count == pytest.approx(theirs["loss"], abs=1e-4)
    assert ours.metrics["margin"] / ours.count == pytest.approx(theirs["rewards/margins"], abs=1e-4)
    # With the policy as its own reference both start at ln 2.
    source.reference = reference_logprobs(policy, source, DpoConfig(), "test")
    with torch.no_grad():
        start = preference(0.1)(policy, source.of(np.arange(len(source))))
    assert float(start.total) / start.count == pytest.approx(np.log(2), abs=1e-6)
