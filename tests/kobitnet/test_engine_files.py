"""Files the engine reads: both packed conventions, shards, and files made to break it."""

import contextlib
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from kobitnet.engine import Engine
from kobitnet.engine.reference import pack_hf
from kobitnet.engine.tensors import Tensors
from kodata.run.errors import UserError
from tests.kobitnet.bitnet_models import ONLINE, edit_config, make_model, stock_model

IDS = np.random.default_rng(1).integers(0, 317, 40).tolist()


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("latents"))


def pack_folder(source: Path, folder: Path, linear_class: str) -> Path:
    """The packed twin of a folder, written here independently: multiply (autobitlinear) or divide (bitlinear)."""
    shutil.copytree(source, folder)
    tensors = {}
    for name, w in load_file(source / "model.safetensors").items():
        if "_proj.weight" not in name:
            tensors[name] = w
            continue
        mean = w.abs().mean().clamp(min=1e-5)
        codes = (w * (1.0 / mean)).round().clamp(-1, 1).to(torch.int8)
        tensors[name] = torch.from_numpy(pack_hf(codes.numpy()))
        tensors[name.replace(".weight", ".weight_scale")] = (
            mean if linear_class == "autobitlinear" else 1.0 / mean
        ).reshape(1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    edit_config(
        folder, quantization_config={**ONLINE, "linear_class": linear_class, "quantization_mode": "offline"}
    )
    return folder


@pytest.mark.parametrize("linear_class", ["autobitlinear", "bitlinear"])
def test_both_conventions_of_packed_weights(latents: Path, tmp_path: Path, linear_class: str) -> None:
    folder = pack_folder(latents, tmp_path / "packed", linear_class)
    packed, online = Engine.load(folder), Engine.load(latents)
    assert np.median(np.abs(packed.logits(IDS[:8]) - online.logits(IDS[:8])).max(axis=1)) < 1e-5
    model = stock_model(folder)
    with torch.no_grad():
        expected = model(torch.tensor([IDS[:8]])).logits[0].numpy()
    assert np.median(np.abs(packed.logits(IDS[:8]) - expected).max(axis=1)) < 1e-5


def test_shards(latents: Path, tmp_path: Path) -> None:
    shutil.copytree(latents, tmp_path / "shards")
    tensors = load_file(latents / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({n: tensors[n] for n in part}, tmp_path / "shards" / file)
    (tmp_path / "shards" / "model.safetensors").unlink()
    index = tmp_path / "shards" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {n: f for f, part in parts.items() for n in part}}))
    assert (Engine.load(tmp_path / "shards").logits(IDS) == Engine.load(latents).logits(IDS)).all()
    for bad in (
        '{"weight_map": {"x": "../../etc/passwd"}}',
        '{"weight_map": [1]}',
        "{",
        '{"weight_map": {"x": 3}}',
    ):
        index.write_text(bad)
        with pytest.raises(UserError):
            Engine.load(tmp_path / "shards")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "b1.58"),
        ({"quantization_config": None}, "full precision"),
        ({"quantization_config": {**ONLINE, "modules_to_not_convert": ["q_proj"]}}, "lm_head"),
        ({"quantization_config": {**ONLINE, "use_rms_norm": True}}, "use_rms_norm"),
        ({"quantization_config": {**ONLINE, "quantization_mode": "sideways"}}, "sideways"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"num_attention_heads": 3}, "divide"),
        ({"hidden_size": -4}, "hidden_size"),
        ({"hidden_size": 1 << 60}, "hidden_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"vocab_size": 640}, "shape"),
        ({"num_hidden_layers": 3}, "layers.2"),
        ({"kobitnet": {"quant": "b1"}}, "b1"),
    ],
)
def test_configs_that_are_refused(latents: Path, tmp_path: Path, change: dict, message: str) -> None:
    folder = shutil.copytree(latents, tmp_path / "m")
    edit_config(folder, **change)
    with pytest.raises(UserError, match=message):
        Engine.load(folder)


def test_places_that_are_not_models(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError) as error:
            Engine.load(path)
        assert error.value.help
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError):
        Engine.load(tmp_path)


def rewrite(folder: Path, change: dict[str, torch.Tensor]) -> None:
    save_file({**load_file(folder / "model.safetensors"), **change}, folder / "model.safetensors")


def test_values_that_are_refused(latents: Path, tmp_path: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    for bad in (float("nan"), float("inf")):
        folder = shutil.copytree(latents, tmp_path / str(bad))
        w = load_file(latents / "model.safetensors")[name]
        w[3, 5] = bad
        rewrite(folder, {name: w})
        with pytest.raises(UserError, match="up_proj"):
            Engine.load(folder)
    folder = pack_folder(latents, tmp_path / "packed", "autobitlinear")
    packed = load_file(folder / "model.safetensors")[name]
    rewrite(folder, {name: packed | 3})
    with pytest.raises(UserError, match="up_proj"):
        Engine.load(folder)
    rewrite(folder, {name: packed, name + "_scale": torch.tensor([0.0])})
    with pytest.raises(UserError, match="weight_scale"):
        Engine.load(folder)


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(shape: list, begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 64,
        safetensors({}, length=1 << 63),
        safetensors({}, b"xx"),
        safetensors([]),
        safetensors(b"{"),
        safetensors(b"\xff\xfe{}"),
        safetensors(b"[" * 100_000),
        safetensors({"a": 1}),
        safetensors({"a": entry([1], 0, 4)}),
        safetensors({"a": entry([1], 0, 8)}, b"x" * 8),
        safetensors({"a": entry([-1], 0, 4)}, b"x" * 4),
        safetensors({"a": entry([True], 0, 4)}, b"x" * 4),
        safetensors({"a": entry([1 << 62, 4], 0, 4)}, b"x" * 4),
        safetensors({"a": entry([1], 4, 0)}, b"x" * 4),
        safetensors({"a": entry([1], 0, 4, "F7")}, b"x" * 4),
        safetensors({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"x" * 4),  # overlap
        safetensors({"a": entry([1], 4, 8)}, b"x" * 8),  # hole
        safetensors(
            b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
        ),
        safetensors({"a": entry([1] * 9, 0, 4)}, b"x" * 4),
        safetensors({"a": entry([1.0], 0, 4)}, b"x" * 4),
    ],
)
def test_hostile_files_are_errors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError):
        Tensors(tmp_path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 3999), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 4000),
)
def test_damaged_files_never_crash(
    latents: Path, tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray((latents / "model.safetensors").read_bytes())
    for at, value in changes:
        content[at] = value
    shutil.copyfile(latents / "config.json", tmp_path / "config.json")
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) - cut])
    with contextlib.suppress(UserError):
        Engine.load(tmp_path).logits([1, 2, 3])


def test_reader_agrees_with_the_library(latents: Path) -> None:
    tensors = Tensors(latents)
    expected = load_file(latents / "model.safetensors")
    assert tensors.entries.keys() == expected.keys()
    for name, value in expected.items():
        assert (tensors.floats(name) == value.numpy()).all()
        tensors.release(name)
        assert (tensors.floats(name) == value.numpy()).all()
    tensors.close()
