"""kobitnet convert: what is copied, what is averaged, what is refused; training on, and distillation, at toy size."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kobitnet.checkpoint import load_model
from kobitnet.convert import ConvertConfig, averaged, convert, embedding_pieces
from kobitnet.train import TrainConfig, train
from kodata.run.errors import UsageError, UserError
from kotok.bpe import token_strings
from kotok.tokenizer import build
from tests.kobitnet import toy
from tests.kobitnet.bitnet_models import edit_config, stock_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes" / "distill"))

SHAPE = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
}


def llama(folder, *, kind="llama", shards="5GB", **shape):
    """A random decoder of that kind, the toy tokenizer beside it."""
    import transformers

    name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[kind]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**SHAPE, "tie_word_embeddings": False, **shape})
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.05)
    model.save_pretrained(folder, max_shard_size=shards)
    toy.tokenizer().save(folder)
    return folder


@pytest.mark.parametrize("tied", [False, True])
def test_weights_are_copied_and_norms_put_in(tmp_path, tied):
    source = llama(tmp_path / "l", tie_word_embeddings=tied, rope_theta=50_000.0, shards="100KB")
    assert (source / "model.safetensors.index.json").is_file()
    result = convert(source, output=tmp_path / "b")
    assert result.summary["rows_kept"] == 320 and result.summary["hidden_act"] == "silu"
    made = load_file(tmp_path / "b/model/model.safetensors")
    from transformers import AutoModelForCausalLM

    original = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    theirs = original.state_dict()
    for name, tensor in made.items():
        assert torch.equal(tensor, torch.ones_like(tensor) if "sub_norm" in name else theirs[name]), name
    assert ("lm_head.weight" in made) is not tied
    model, tokenizer = load_model(tmp_path / "b")
    ids = torch.tensor([tokenizer.encode("봄이 오면 강가에")])
    with torch.no_grad():
        ours, stock = model(ids).logits, stock_model(tmp_path / "b/model")(ids).logits
    assert torch.allclose(ours, stock, atol=1e-4)
    assert model.config.rope_parameters["rope_theta"] == 50_000.0
    again = convert(source, output=tmp_path / "b")
    assert again.summary == result.summary


def test_without_quantisation_and_norms_it_is_the_original(tmp_path):
    """The copied weights in a BitNet whose quantiser is off and whose SubLN is taken out give the original's logits."""
    from transformers import AutoModelForCausalLM, BitNetForCausalLM

    source = llama(tmp_path / "l")
    convert(source, output=tmp_path / "b")
    converted, tokenizer = load_model(tmp_path / "b")
    plain = BitNetForCausalLM(converted.config)  # alone, transformers' BitNet does not quantise
    plain.load_state_dict(converted.state_dict())
    for layer in plain.model.layers:
        layer.self_attn.attn_sub_norm = layer.mlp.ffn_sub_norm = torch.nn.Identity()
    ids = torch.tensor([tokenizer.encode("기차는 새벽 다섯 시에")])
    with torch.no_grad():
        original = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)(ids).logits
        assert torch.allclose(plain.eval()(ids).logits, original, atol=1e-4)


def test_fresh_weights_and_activation(tmp_path):
    source = llama(tmp_path / "l", kind="mistral", sliding_window=None)
    config = ConvertConfig(fresh_weights=True, act="relu2")
    plan = convert(source, output=tmp_path / "b", config=config, dry_run=True)
    assert not (tmp_path / "b").exists() and plan.summary["hidden_act"] == "relu2"
    convert(source, output=tmp_path / "b", config=config, seed=3)
    made, theirs = load_file(tmp_path / "b/model/model.safetensors"), load_file(source / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    assert made[name].std() < 0.03 and not torch.equal(made[name], theirs[name])
    assert json.loads((tmp_path / "b/model/config.json").read_text())["hidden_act"] == "relu2"


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"head_dim": 32}, "head_dim 32"),
        ({"kind": "qwen2"}, "bias"),
        ({"kind": "qwen3", "head_dim": 16}, "queries or keys"),
        ({"attention_bias": True}, "bias"),
        ({"kind": "mistral", "sliding_window": 64}, "sliding window 64"),
        ({"hidden_act": "gelu"}, "activation"),
    ],
)
def test_refused_with_the_reason(tmp_path, shape, reason):
    source = llama(tmp_path / "l", **shape)
    with pytest.raises(UserError, match=reason):
        convert(source, output=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_broken_originals(tmp_path):
    source = llama(tmp_path / "l")
    with pytest.raises(UserError, match=r"no config\.json"):
        convert(tmp_path, output=tmp_path / "b")
    edit_config(source, num_hidden_layers=3)
    with pytest.raises(UserError, match="tensors differ"):
        convert(source, output=tmp_path / "b")
    edit_config(source, num_hidden_layers=2, model_type="nothing")
    with pytest.raises(UserError, match="unknown model_type"):
        convert(source, output=tmp_path / "b")
    edit_config(source, model_type="llama")
    weights = source / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        convert(source, output=tmp_path / "b")
    weights.unlink()
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match="only safetensors"):
        convert(source, output=tmp_path / "b")
    small = llama(tmp_path / "s", vocab_size=100)
    with pytest.raises(UserError, match="tokenizer 320 > embeddings 100"):
        convert(small, output=tmp_path / "b")
    (small / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer"):
        convert(small, output=tmp_path / "b")


def test_new_tokens_start_from_their_old_pieces(tmp_path):
    from kotok.extend import ExtendConfig, extend, read_mapping
    from kotok.tokenizer import load

    source = llama(tmp_path / "l", vocab_size=328)  # eight rows more than the tokenizer uses
    (tmp_path / "t.txt").write_text("\n".join(toy.SENTENCES * 3))
    config = ExtendConfig(add=64, share=0.0, val=0.0)
    extend(source, [str(tmp_path / "t.txt")], output=tmp_path / "tok", config=config)
    result = convert(source, output=tmp_path / "b", tok=tmp_path / "tok")
    assert (result.summary["rows_kept"], result.summary["rows_averaged"]) == (320, 64)
    made, theirs = load_file(tmp_path / "b/model/model.safetensors"), load_file(source / "model.safetensors")
    pieces = read_mapping(tmp_path / "tok")["pieces"]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.equal(made[name][:320], theirs[name][:320])
        for i, ids in pieces.items():
            assert torch.allclose(made[name][i], theirs[name][ids].mean(0), atol=1e-6)
    model, tokenizer = load_model(tmp_path / "b")
    assert tokenizer.fingerprint == load(tmp_path / "tok").fingerprint and model.config.vocab_size == 384


def test_another_tokenizer_is_matched_by_text():
    old = toy.tokenizer()
    merges = [(0xEA, 0x80, 256), (0xEB, 0x90, 257), (ord("a"), ord("b"), 258), (258, ord("c"), 259)]
    new = build(merges, "qwen2")
    got = embedding_pieces(old, new)
    assert got[ord("a")] == [ord("a")]
    assert got[256] == [256]  # the same bytes
    assert got[257] == [0xEB, 0x90]  # a piece of a character: by its bytes
    assert got[259] == old.encode("abc") == [ord(c) for c in "abc"]
    assert got[new.eot_id] == [old.eot_id] and len(got) == new.vocab_size
    assert token_strings(merges)[259] == b"abc"
    rows = torch.arange(12.0).reshape(4, 3)
    mean = averaged(rows, [[2], [0, 1], [], [3, 3, 0]])
    assert torch.equal(mean[0], rows[2]) and torch.equal(mean[1], torch.tensor([1.5, 2.5, 3.5]))
    assert torch.equal(mean[2], rows.mean(0)) and torch.equal(mean[3], torch.tensor([6.0, 7.0, 8.0]))


STEPS = {"steps": 6, "batch_size": 4, "seq_len": 32, "eval_every": 0, "threads": 2}


def test_train_on_from_a_converted_model(tmp_path):
    source = llama(tmp_path / "l")
    convert(source, output=tmp_path / "b")
    shards = toy.text_shards(tmp_path / "shards")
    result = train(shards, output=tmp_path / "t", source=tmp_path / "b", config=TrainConfig(**STEPS, lr=2e-3))
    assert result.summary["loss"] < result.summary["loss_first"] and "val_bits_per_byte" in result.summary
    model, _ = load_model(tmp_path / "t")
    assert model.config.hidden_act == "silu" and model.config.hidden_size == 64
    config = json.loads((tmp_path / "t/manifest.json").read_text())["config"]
    assert config["lr"] == 2e-3 and config["optim"]["schedule"] == "cosine"
    with pytest.raises(UsageError, match="another quantiser"):
        train(shards, output=tmp_path / "q", source=tmp_path / "b", config=TrainConfig(**STEPS, quant="b1"))
    with pytest.raises(UsageError, match="clm only"):
        train(
            shards, output=tmp_path / "q", source=tmp_path / "b", config=TrainConfig(**STEPS, objective="mlm")
        )
    other = build([(0xEA, 0xB0, 256)], "llama-bpe")
    other.save(tmp_path / "b/model")
    with pytest.raises(UserError, match="tokenizers differ"):
        train(shards, output=tmp_path / "q", source=tmp_path / "b", config=TrainConfig(**STEPS))


def test_distillation_by_hand():
    from distill import softened_kl

    torch.manual_seed(0)
    hidden, head = torch.randn(5, 8), torch.randn(11, 8)
    teacher, targets = torch.randn(5, 12), torch.tensor([3, -100, 0, 10, -100])
    nll, kl = softened_kl(hidden, head, teacher, targets, 2.0)
    want_nll, want_kl = 0.0, 0.0
    for n in (0, 2, 3):
        p = np.exp(teacher[n, :11].numpy().astype(float) / 2)
        p /= p.sum()
        logits = (head @ hidden[n]).numpy().astype(float)
        q = np.exp(logits / 2) / np.exp(logits / 2).sum()
        want_kl += float((p * np.log(p / q)).sum())
        want_nll -= float(np.log(np.exp(logits) / np.exp(logits).sum())[targets[n]])
    assert float(nll) == pytest.approx(want_nll, rel=1e-4) and float(kl) == pytest.approx(want_kl, rel=1e-4)


def test_distillation_recipe(tmp_path, capsys):
    import distill

    source = llama(tmp_path / "l")
    convert(source, output=tmp_path / "b")
    shards = toy.text_shards(tmp_path / "shards")
    command = [
        str(shards),
        "--teacher",
        str(source),
        "--student",
        str(tmp_path / "b"),
        "-o",
        str(tmp_path / "d"),
    ]
    sizes = ["--steps", "12", "--batch-size", "4", "--seq-len", "32", "--lr", "3e-3"]
    assert distill.main([*command, *sizes]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "d")
    stats = json.loads((tmp_path / "d/stats.json").read_text())["summary"]
    assert stats["loss"] < stats["loss_first"]
    assert load_model(tmp_path / "d")[0].config.hidden_size == 64
    other = llama(tmp_path / "o")
    build([(0xEA, 0xB0, 256)], "llama-bpe").save(other)
    command[2], command[-1] = str(other), str(tmp_path / "e")
    assert distill.main([*command, *sizes]) == 1 and "different tokenizers" in capsys.readouterr().err


def test_saved_file_is_plain_fp32(tmp_path):
    source = llama(tmp_path / "l")
    tensors = {k: v.bfloat16() for k, v in load_file(source / "model.safetensors").items()}
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    convert(source, output=tmp_path / "b")
    made = load_file(tmp_path / "b/model/model.safetensors")
    assert all(t.dtype == torch.float32 for t in made.values())
