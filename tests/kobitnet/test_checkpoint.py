"""Model folders: stock transformers opens b1.58 and refuses the rest; our loader says what is wrong."""

import json
import shutil

import pytest
import torch

from kobitnet.checkpoint import (
    load_model,
    place_weights,
    save_settings,
    state_tensors,
    weights_fingerprint,
    write_tensors,
)
from kobitnet.model import build_model, model_config
from kodata.run.errors import UserError

from . import toy


def saved(folder, quant="b1.58"):
    made = toy.tokenizer()
    model = build_model(
        model_config(toy.SMALL, vocab_size=made.vocab_size, eos=made.eot_id, pad=made.pad_id),
        quant,
        groups=2,
        seed=4,
    )
    save_settings(folder, model, made, quant=quant, groups=2, stage="pretrain")
    write_tensors(folder / "model.safetensors", state_tensors(model))
    return model.eval()


IDS = torch.randint(0, 300, (2, 30), generator=torch.Generator().manual_seed(0))


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_stock_transformers_opens_it(tmp_path):
    model = saved(tmp_path)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stock = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(stock.model.layers[0].mlp.up_proj).__name__ == "AutoBitLinear"
    torch.testing.assert_close(logits(stock.eval()), logits(model), rtol=0, atol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("봄이 오면")["input_ids"] == toy.tokenizer().encode("봄이 오면")
    # And what stock transformers saves, we open.
    stock.save_pretrained(tmp_path / "again")
    toy.tokenizer().save(tmp_path / "again")
    torch.testing.assert_close(logits(load_model(tmp_path / "again")[0]), logits(model), rtol=0, atol=0)


@pytest.mark.parametrize("quant", ["b1.58", "b1", "b1-alpha", "group", "none"])
def test_round_trip(tmp_path, quant):
    model = saved(tmp_path / "model", quant)
    loaded, tokenizer = load_model(tmp_path)  # the run folder
    assert torch.equal(logits(loaded), logits(model))
    assert loaded.kobitnet["quant"] == quant and tokenizer.fingerprint == toy.tokenizer().fingerprint
    assert len(weights_fingerprint(tmp_path)) == 16


@pytest.mark.parametrize("quant", ["b1", "b1-alpha", "group", "none"])
def test_stock_transformers_refuses_other_variants(tmp_path, quant):
    saved(tmp_path, quant)
    from transformers import AutoModelForCausalLM

    with pytest.raises((ValueError, KeyError), match="kobitnet_"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    for key, value in changes.items():
        config.pop(key) if value is None else config.update({key: value})
    (folder / "config.json").write_text(json.dumps(config))


def test_refusals(tmp_path):
    saved(tmp_path / "good")

    def case(name, **changes):
        folder = tmp_path / name
        shutil.copytree(tmp_path / "good", folder)
        edit(folder, **changes)
        return folder

    with pytest.raises(UserError, match="no such folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(UserError, match="neither a run nor a model"):
        load_model(tmp_path)
    with pytest.raises(UserError, match="without quantization_config"):
        load_model(case("naked", quantization_config=None))
    with pytest.raises(UserError, match="packed weights"):
        load_model(
            case("packed", quantization_config={"linear_class": "bitlinear", "quantization_mode": "offline"})
        )
    with pytest.raises(UserError, match="not a BitNet model"):
        load_model(case("llama", model_type="llama"))
    with pytest.raises(UserError, match="do not fit"):
        load_model(case("other", num_hidden_layers=3))
    cut = case("cut")
    data = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_model(cut)
    (cut / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        load_model(cut)


def test_weights_are_linked_in(tmp_path):
    (tmp_path / "model").mkdir()
    source = tmp_path / "a.safetensors"
    source.write_bytes(b"new")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"old")
    place_weights(source, tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["model.safetensors"]
