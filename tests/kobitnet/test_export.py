"""kobitnet export: what is written opens in stock transformers as the same model; what fails leaves nothing."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from kobitnet.engine import Engine
from kobitnet.export import export
from kodata.run.errors import UserError
from tests.kobitnet.bitnet_models import edit_config, make_model, stock_model
from tests.kobitnet.llama_text import ask, python_with_llama
from tests.kobitnet.toy import SENTENCES, tokenizer

IDS = np.random.default_rng(1).integers(0, 317, 30).tolist()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_model(tmp_path_factory.mktemp("run") / "model")
    tokenizer().save(folder)
    return folder


def test_hf_packed(model: Path, tmp_path: Path) -> None:
    result = export(model.parent, to="hf-packed", output=tmp_path / "out")  # a run folder is accepted too
    assert result.summary["check"]["worst_layer"] < 1e-5
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"]["quantization_mode"] == "offline"
    assert config["quantization_config"]["modules_to_not_convert"] == ["lm_head"]
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 0.6 * (
        model / "model.safetensors"
    ).stat().st_size
    engine, ours = Engine.load(tmp_path / "out"), Engine.load(model)
    assert np.median(np.abs(engine.logits(IDS[:6]) - ours.logits(IDS[:6])).max(axis=1)) < 1e-5
    again = export(model, to="hf-packed", output=tmp_path / "out")
    assert any("already done" in line for line in again.lines)
    with pytest.raises(UserError, match="latents"):
        export(tmp_path / "out", to="hf-packed", output=tmp_path / "twice")


@pytest.mark.slow
def test_hf_online(model: Path, tmp_path: Path) -> None:
    result = export(model, to="hf-online", output=tmp_path / "out")
    assert result.summary["check"]["logits"] == 0.0
    with torch.no_grad():
        a, b = (stock_model(f)(torch.tensor([IDS])).logits for f in (model, tmp_path / "out"))
    assert torch.equal(a, b)


@pytest.mark.slow
def test_a_failed_check_leaves_no_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kobitnet.export import packed

    honest = packed.pack_hf
    monkeypatch.setattr(packed, "pack_hf", lambda codes: honest(-codes))
    with pytest.raises(UserError, match="export failed its check"):
        export(model, to="hf-packed", output=tmp_path / "out")
    left = {p.name for p in (tmp_path / "out").iterdir()}
    assert not left & {"config.json", "model.safetensors", ".building"}
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == "failed"


def test_variants_are_refused_by_name(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", num_hidden_layers=1)
    edit_config(folder, model_type="kobitnet_b1")
    with pytest.raises(UserError, match="kobitnet_b1"):
        export(folder, to="hf-packed", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_that_cannot_be_packed(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", num_hidden_layers=1, intermediate_size=206)
    with pytest.raises(UserError, match="206"):
        export(folder, to="hf-packed", output=tmp_path / "out")


# ---- GGUF ---------------------------------------------------------------------------------------


def gguf_model(folder: Path, **shape: object) -> Path:
    make_model(folder, num_hidden_layers=1, hidden_size=256, intermediate_size=512, **shape)
    tokenizer().save(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TQ2_0", "TQ1_0", "F16"])
def test_llama_cpp_writes_the_same_text(trained: Path, tmp_path: Path, kind: str) -> None:
    """20 prompts, greedy. llama.cpp quantises activations in blocks of 256, so a text may part, but only where the engine's
    two best logits are less than 0.2 apart; 12 texts or more are the same to the end."""
    python = python_with_llama()
    if python is None:
        pytest.skip("llama_cpp is missing (set KOBITNET_LLAMA_PYTHON to a Python that has it)")
    export(trained, to="gguf", output=tmp_path / "out", gguf_type=kind)
    file = tmp_path / "out" / f"model-{kind}.gguf"
    engine = Engine.load(file)
    texts = [sentence[: 4 + i % 9] for i, sentence in enumerate(SENTENCES * 3)][:20]
    prompts = [[engine.tokenizer.eot_id, *engine.tokenizer.encode(text)] for text in texts]
    answer = ask(python, {"file": str(file), "prompts": prompts, "tokens": 40, "encode": SENTENCES})
    assert answer["encoded"] == [engine.tokenizer.encode(text) for text in SENTENCES]
    same = 0
    for prompt, theirs in zip(prompts, answer["texts"], strict=True):
        ours = engine.generate(prompt, 40)
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), None)
        same += at is None
        if at is not None:
            best = np.sort(engine.logits([*prompt, *ours[:at]])[-1])[-2:]
            assert best[1] - best[0] < 0.2, (prompt, at)
    assert same >= 12


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SiLU model that has learned the toy sentences: its greedy text is decided, not noise."""
    from kobitnet.model import Preset
    from tests.kobitnet import toy

    small = Preset(hidden=256, intermediate=512, layers=2, heads=4, kv_heads=2, lr=4e-3, lr2=2e-3)
    return toy.pretrained(
        tmp_path_factory.mktemp("trained"), steps=60, batch_size=8, preset=small, act="silu"
    )


def torch_codes(folder: Path, name: str) -> tuple[np.ndarray, float]:
    from safetensors.torch import load_file

    w = load_file(folder / "model.safetensors")[name]
    mean = w.abs().mean()
    return (w * (1.0 / mean)).round().clamp(-1, 1).numpy(), float(mean)


def test_gguf_for_llama_cpp_is_read_by_the_gguf_package(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    folder = gguf_model(tmp_path / "m", hidden_act="silu")
    result = export(folder, to="gguf", output=tmp_path / "out")
    assert result.summary["check"]["ternary_tensors_read_back"] == 7
    reader = gguf.GGUFReader(tmp_path / "out" / "model-TQ2_0.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "bitnet"
    assert fields["bitnet.attention.head_count_kv"] == 2
    assert fields["bitnet.rope.freq_base"] == 500000.0
    assert fields["tokenizer.ggml.pre"] == "llama-bpe"
    made = tokenizer()
    assert (
        len(fields["tokenizer.ggml.tokens"]) == 320 and fields["tokenizer.ggml.eos_token_id"] == made.eot_id
    )
    assert fields["tokenizer.ggml.token_type"][made.eot_id] == 3
    tensors = {t.name: t for t in reader.tensors}
    assert len(tensors) == 2 + 11 + 7
    for theirs, ours in {"attn_k": "self_attn.k_proj", "ffn_down": "mlp.down_proj"}.items():
        codes, mean = torch_codes(folder, f"model.layers.0.{ours}.weight")
        tensor = tensors[f"blk.0.{theirs}.weight"]
        assert tensor.tensor_type.name == "TQ2_0" and tuple(tensor.shape) == codes.shape[::-1]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert (values == codes).all()  # block scales are 1, the fp32 scale stands beside the matrix
        assert tensors[f"blk.0.{theirs}.scale"].data.tolist() == [np.float32(mean)]
    from safetensors.torch import load_file

    embedding = load_file(folder / "model.safetensors")["model.embed_tokens.weight"].numpy()
    assert (tensors["token_embd.weight"].data == embedding.astype(np.float16)).all()


class PlainReader:
    """GGUF by the letter of its specification, for the tensor type the gguf package does not know."""

    def __init__(self, raw: bytes):
        self.raw, self.at = raw, 4
        assert raw[:4] == b"GGUF"
        version, count, fields = self.take("<IQQ")
        assert version == 3
        self.fields = {}
        for _ in range(fields):
            key = self.string()
            (kind,) = self.take("<I")
            self.fields[key] = self.value(kind)
        self.tensors = {}
        for _ in range(count):
            name = self.string()
            (n,) = self.take("<I")
            dims = self.take(f"<{n}Q")
            kind, offset = self.take("<IQ")
            self.tensors[name] = dims, kind, offset
        self.data = raw[-(-self.at // 32) * 32 :]

    def take(self, form: str) -> tuple:
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def string(self) -> str:
        (n,) = self.take("<Q")
        self.at += n
        return self.raw[self.at - n : self.at].decode()

    def value(self, kind: int) -> object:
        if kind == 9:
            inner, n = self.take("<IQ")
            return [self.value(inner) for _ in range(n)]
        return self.string() if kind == 8 else self.take({4: "<I", 5: "<i", 6: "<f", 7: "<?"}[kind])[0]


def test_gguf_for_bitnet_cpp_by_an_independent_reader(tmp_path: Path) -> None:
    folder = gguf_model(tmp_path / "m", hidden_act="relu2", tie_word_embeddings=False)
    export(folder, to="gguf", output=tmp_path / "out")
    reader = PlainReader((tmp_path / "out" / "model-I2_S.gguf").read_bytes())
    assert reader.fields["general.architecture"] == "bitnet-b1.58"
    assert reader.fields["general.file_type"] == 40
    assert "output.weight" in reader.tensors
    for theirs, ours in {"attn_q": "self_attn.q_proj", "ffn_gate": "mlp.gate_proj"}.items():
        codes, mean = torch_codes(folder, f"model.layers.0.{ours}.weight")
        dims, kind, offset = reader.tensors[f"blk.0.{theirs}.weight"]
        assert kind == 36 and dims == codes.shape[::-1]
        raw = reader.data[offset : offset + codes.size // 4 + 32]
        flat = codes.ravel()
        for e in [*range(300), codes.size - 1]:
            byte = raw[e // 128 * 32 + e % 32]
            assert (byte >> (6 - 2 * (e % 128 // 32)) & 3) - 1 == flat[e]
        assert struct.unpack_from("<f", raw, codes.size // 4)[0] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"hidden_act": "silu", "tie_word_embeddings": False}, "tied"),
        ({"hidden_act": "silu", "attention_bias": True}, "bias"),
    ],
)
def test_gguf_refuses_what_the_runtime_cannot_compute(tmp_path: Path, shape: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        export(gguf_model(tmp_path / "m", **shape), to="gguf", output=tmp_path / "out")


def test_gguf_refuses_odd_sizes_and_missing_tokenizers(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="multiples of 128"):
        export(model, to="gguf", output=tmp_path / "out")
    bare = make_model(tmp_path / "bare", num_hidden_layers=1, hidden_size=128, intermediate_size=256)
    with pytest.raises(UserError, match="tokenizer"):
        export(bare, to="gguf", output=tmp_path / "out2")
    assert not list(tmp_path.glob("out*/*.gguf"))
