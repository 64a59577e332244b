"""GGUF files as the engine reads them: every ternary type, the tokenizer inside, and files made to break the reader."""

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from kobitnet.engine import Engine, cpu, ggml
from kobitnet.engine.gguf import Gguf
from kobitnet.engine.gguf_tokenizer import chat_stage
from kobitnet.export import export, gguf_file
from kodata.run.errors import UserError
from tests.kobitnet.bitnet_models import edit_config, make_model
from tests.kobitnet.toy import tokenizer

IDS = np.random.default_rng(1).integers(0, 317, 40).tolist()
KINDS = [("silu", "TQ2_0"), ("silu", "TQ1_0"), ("silu", "F16"), ("relu2", "I2_S"), ("relu2", "F16")]


def model_folder(folder: Path, **shape: Any) -> Path:
    """A model whose tables fp16 can hold, so that a GGUF loses nothing of them."""
    make_model(folder, **{"num_hidden_layers": 1, "hidden_size": 256, "intermediate_size": 512, **shape})
    tensors = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in tensors:
            tensors[name] = tensors[name].half().float()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save(folder)
    edit_config(folder, kobitnet={"quant": "b1.58", "stage": "dpo"})
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        act: model_folder(tmp_path_factory.mktemp(act) / "m", hidden_act=act) for act in ("silu", "relu2")
    }


@pytest.fixture(scope="module")
def files(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    made = {}
    for act, kind in KINDS:
        out = tmp_path_factory.mktemp("gguf") / "out"
        export(folders[act], to="gguf", output=out, gguf_type=kind)
        made[act, kind] = out / f"model-{kind}.gguf"
    return made


@pytest.mark.parametrize(("act", "kind"), KINDS)
def test_logits_are_those_of_the_latents(
    folders: dict[str, Path], files: dict[tuple[str, str], Path], act: str, kind: str
) -> None:
    ours, theirs = Engine.load(folders[act]), Engine.load(files[act, kind])
    a, b = ours.logits(IDS), theirs.logits(IDS)
    if kind == "F16":  # the scale is rounded to fp16: the same codes, logits near
        assert np.median(np.abs(a - b).max(axis=1)) < 0.02 * np.abs(a).max()
    else:
        assert (a == b).all()
    assert theirs.config.act == act and theirs.config.tied
    assert theirs.config.theta == ours.config.theta and theirs.config.max_len == ours.config.max_len


@pytest.mark.parametrize(("act", "kind"), KINDS)
def test_numpy_reads_the_same(
    files: dict[tuple[str, str], Path], act: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = Engine.load(files[act, kind])
    monkeypatch.setenv("KOBITNET_ISA", "python")
    cpu.native.cache_clear()
    try:
        slow = Engine.load(files[act, kind])
    finally:
        monkeypatch.delenv("KOBITNET_ISA")
        cpu.native.cache_clear()
    for (layer, name), [(values, scale, _)] in slow.model.linears.items():
        assert np.isin(values, (-1, 0, 1)).all() and scale > 0, (layer, name)
    assert np.median(np.abs(native.logits(IDS[:8]) - slow.logits(IDS[:8])).max(axis=1)) < 1e-4


def test_untied_heads(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m", hidden_act="relu2", tie_word_embeddings=False)
    export(folder, to="gguf", output=tmp_path / "out")
    file = tmp_path / "out" / "model-I2_S.gguf"
    assert not Engine.load(file).config.tied
    assert (Engine.load(file).logits(IDS) == Engine.load(folder).logits(IDS)).all()


def test_types_of_the_other_runtime_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for act, kind in (("silu", "I2_S"), ("relu2", "TQ2_0"), ("relu2", "TQ1_0")):
        with pytest.raises(UserError, match=kind):
            export(folders[act], to="gguf", output=tmp_path / act / kind, gguf_type=kind)
    with pytest.raises(UserError, match="gguf-type"):
        export(folders["silu"], to="hf-online", output=tmp_path / "x", gguf_type="F16")


def test_the_tokenizer_comes_back(files: dict[tuple[str, str], Path]) -> None:
    found, made = Engine.load(files["silu", "TQ2_0"]).tokenizer, tokenizer()
    assert found.fingerprint == made.fingerprint
    assert found.eot_id == made.eot_id and found.end_of_turn_id == made.end_of_turn_id
    text = "봄이 오면 <|eot_id|> 123"
    assert found.encode(text) == made.encode(text) and found.decode(made.encode(text)) == text
    assert chat_stage(files["silu", "TQ2_0"]) == "dpo"


def test_generate_from_a_file(files: dict[tuple[str, str], Path]) -> None:
    from kobitnet.generate import GenerateConfig, generate

    config = GenerateConfig(greedy=True, max_new_tokens=6, raw=True)
    result = generate(files["silu", "TQ2_0"], "기차는", config=config)
    assert result.lines[0].startswith("기차는")
    assert result.summary["tokens"] <= 6


# ---- files made to break the reader -------------------------------------------------------------


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def tensor(name: str, dims: list[int], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def field(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def gguf(
    tensors: list[bytes] = [],  # noqa: B006
    fields: list[bytes] = [],  # noqa: B006
    data: bytes = bytes(64),
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> bytes:
    n, m = counts or (len(tensors), len(fields))
    head = b"GGUF" + struct.pack("<IQQ", version, n, m) + b"".join(fields) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


HOSTILE = {
    "empty": b"",
    "short": b"GGUF" + bytes(19),
    "magic": b"GGML" + bytes(60),
    "version": gguf(version=1),
    "big endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(32),
    "many tensors": gguf(counts=(1 << 63, 0)),
    "many fields": gguf(counts=(0, 1 << 63)),
    "missing tensors": gguf(counts=(5, 0), data=b""),
    "name past the end": gguf([struct.pack("<Q", 1 << 60) + b"a"]),
    "name not UTF-8": gguf([tensor("a", [1]).replace(b"a", b"\xff", 1)]),
    "no dimensions": gguf([tensor("a", [])]),
    "five dimensions": gguf([tensor("a", [1] * 5)]),
    "size zero": gguf([tensor("a", [0])]),
    "size overflow": gguf([tensor("a", [1 << 40, 1 << 40])]),
    "size overflow to small": gguf([tensor("a", [1 << 32, 1 << 32, 4])]),
    "size huge": gguf([tensor("a", [(1 << 64) - 1])]),
    "past the end": gguf([tensor("a", [17])]),
    "offset past the end": gguf([tensor("a", [1], offset=1 << 62)]),
    "offset overflow": gguf([tensor("a", [1], offset=(1 << 64) - 32)]),
    "misaligned": gguf([tensor("a", [1], offset=4)]),
    "unknown type": gguf([tensor("a", [1], kind=39)]),
    "retired type": gguf([tensor("a", [256], kind=37)]),
    "part of a block": gguf([tensor("a", [128], kind=35)]),
    "duplicate tensor": gguf([tensor("a", [1]), tensor("a", [1], offset=32)]),
    "overlap": gguf([tensor("a", [16]), tensor("b", [1], offset=32)]),
    "duplicate field": gguf(fields=[field("a", 0, b"x")] * 2),
    "unknown field": gguf(fields=[field("a", 13, b"x" * 8)]),
    "nested array": gguf(fields=[field("a", 9, struct.pack("<IQ", 9, 1) + bytes(12))]),
    "long array": gguf(fields=[field("a", 9, struct.pack("<IQ", 0, 1 << 62))]),
    "long string array": gguf(fields=[field("a", 9, struct.pack("<IQ", 8, 1 << 62))]),
    "long string": gguf(fields=[field("a", 8, struct.pack("<Q", 1 << 62))]),
    "alignment zero": gguf(fields=[field("general.alignment", 4, struct.pack("<I", 0))]),
    "alignment odd": gguf(fields=[field("general.alignment", 4, struct.pack("<I", 24))]),
    "alignment text": gguf(fields=[field("general.alignment", 8, text("32"))]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_errors(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(UserError) as error:
        Gguf(path)
    assert str(path) in str(error.value)


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    numbers = struct.pack("<IQ3i", 5, 3, 1, -2, 3)
    path.write_bytes(
        gguf(
            [tensor("a", [2, 3]), tensor("b", [4], kind=1, offset=32)],
            [
                field("n", 9, struct.pack("<I", 5)[:0] + numbers),
                field("s", 9, struct.pack("<IQ", 8, 2) + text("가") + text("")),
                field("t", 7, b"\x01"),
                field("d", 12, struct.pack("<d", 0.5)),
                field("q", 10, struct.pack("<Q", 1 << 40)),
            ],
            np.arange(6, dtype="<f4").tobytes() + bytes(8) + np.arange(4, dtype="<f2").tobytes(),
        )
    )
    file = Gguf(path)
    assert file.fields == {"n": [1, -2, 3], "s": ["가", ""], "t": True, "d": 0.5, "q": 1 << 40}
    assert file.floats("a").tolist() == [[0, 1], [2, 3], [4, 5]]
    assert file.floats("a", rows=slice(1, 2)).tolist() == [[2, 3]]
    file.release("a")
    assert file.floats("b").tolist() == [0, 1, 2, 3]
    for bad in (lambda: file.entry("c"), lambda: file.entry("a", (2, 3))):
        with pytest.raises(UserError):
            bad()


def rewritten(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file with other metadata, its tensors as they are."""
    file = Gguf(source)
    fields = dict(file.fields)
    change(fields)
    plan = [(name, "", entry.shape, entry.kind) for name, entry in file.entries.items()]
    with open(target, "wb") as out:
        gguf_file._write_header(out, fields, plan)
        for name, _, _, _ in plan:
            data = file.raw(name).tobytes()
            out.write(data + bytes(-len(data) % 32))
    return target


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("general.architecture", "llama", "llama"),
        ("general.architecture", 3, "b1.58"),
        ("bitnet.block_count", 2, "blk.1"),
        ("bitnet.block_count", 0, "block_count"),
        ("bitnet.feed_forward_length", 768, "shape"),
        ("bitnet.embedding_length", "wide", "embedding_length"),
        ("bitnet.attention.head_count", 3, "heads"),
        ("bitnet.attention.layer_norm_rms_epsilon", float("nan"), "epsilon"),
        ("bitnet.context_length", None, "context_length"),
        ("bitnet.hidden_activation", "gelu", "gelu"),
        ("bitnet.rope.dimension_count", 16, "rotation"),
        ("bitnet.rope.scaling.type", "yarn", "rope"),
    ],
)
def test_metadata_that_is_refused(
    files: dict[tuple[str, str], Path], tmp_path: Path, key: str, value: Any, message: str
) -> None:
    def change(fields: dict[str, Any]) -> None:
        fields[key] = value
        if value is None:
            del fields[key]

    with pytest.raises(UserError, match=message):
        Engine.load(rewritten(files["silu", "TQ2_0"], tmp_path / "x.gguf", change))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer.ggml.model", "llama"),
        ("tokenizer.ggml.pre", "gpt-4o"),
        ("tokenizer.ggml.tokens", [1, 2]),
        ("tokenizer.ggml.token_type", [1]),
        ("tokenizer.ggml.merges", ["a"]),
        ("tokenizer.ggml.merges", ["q", "x y z"]),
        ("tokenizer.ggml.eos_token_id", 1 << 20),
        ("tokenizer.ggml.tokens", ["a"] * 320),
    ],
)
def test_tokenizers_that_are_refused(
    files: dict[tuple[str, str], Path], tmp_path: Path, key: str, value: Any
) -> None:
    path = rewritten(files["silu", "TQ2_0"], tmp_path / "x.gguf", lambda fields: fields.update({key: value}))
    engine = Engine.load(path)  # the weights are whole
    with pytest.raises(UserError, match="tokenizer"):
        engine.tokenizer  # noqa: B018


def test_weights_that_are_refused(files: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"

    def load(kind: tuple[str, str], name: str, at: int, value: bytes) -> None:
        begin = Gguf(files[kind]).entries[name].begin
        content = bytearray(files[kind].read_bytes())
        content[begin + at : begin + at + len(value)] = value
        path.write_bytes(content)
        Engine.load(path)

    weight = "blk.0.ffn_up.weight"
    half = struct.Struct("<e").pack
    for kind, at, value, message in [
        (("silu", "TQ2_0"), 0, b"\xff", "code 3"),
        (("silu", "TQ2_0"), 64, half(2.0), "several scales"),
        (("silu", "TQ2_0"), 64, half(0.0), "scale 0"),
        (("silu", "TQ2_0"), 64, half(float("nan")), "scale"),
        (("silu", "TQ1_0"), 52, half(-1.0), "scale"),
        (("silu", "F16"), 0, half(9.0), "not a ternary"),
        (("relu2", "I2_S"), 0, b"\xff", "code 3"),
        (("relu2", "I2_S"), 256 * 512 // 4, struct.pack("<f", float("inf")), "scale"),
        (("relu2", "I2_S"), 256 * 512 // 4, struct.pack("<f", 0.0), "scale"),
    ]:
        with pytest.raises(UserError, match=message):
            load(kind, weight, at, value)
    with pytest.raises(UserError, match="NaN"):
        load(("silu", "TQ2_0"), "blk.0.attn_norm.weight", 0, struct.pack("<f", float("nan")))
    with pytest.raises(UserError, match="scale"):
        load(("silu", "TQ2_0"), "blk.0.ffn_up.scale", 0, struct.pack("<f", -1.0))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 15_999), st.integers(0, 255)), min_size=1, max_size=6),
    st.one_of(st.just(0), st.integers(0, 5000)),
)
def test_damaged_headers_never_crash(
    files: dict[tuple[str, str], Path], tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(files["silu", "TQ2_0"].read_bytes())
    for at, value in changes:
        content[at] = value
    path = tmp_path / "x.gguf"
    path.write_bytes(content[: len(content) - cut])
    with contextlib.suppress(UserError):
        engine = Engine.load(path)
        engine.logits([1, 2, 3])
        engine.tokenizer.encode("봄")


@pytest.mark.parametrize(("act", "kind"), KINDS)
def test_flipped_bytes_never_crash(
    files: dict[tuple[str, str], Path], tmp_path: Path, act: str, kind: str
) -> None:
    """Eight seeded bytes anywhere, and the file cut anywhere."""
    rng = np.random.default_rng(7)
    whole = files[act, kind].read_bytes()
    path = tmp_path / "x.gguf"
    for turn in range(12):
        content = np.frombuffer(whole, np.uint8).copy()
        content[rng.integers(0, len(whole), 8)] = rng.integers(0, 256, 8)
        path.write_bytes(content.tobytes()[: len(whole) if turn % 3 else int(rng.integers(1, len(whole)))])
        with contextlib.suppress(UserError):
            Engine.load(path).logits([1, 2, 3])


def test_several_block_scales_of_zero_matrices() -> None:
    """A block of zeros may have scale 0, as ggml's own quantiser writes it."""
    codes = np.zeros((2, 512), np.int8)
    codes[0, 300] = 1
    for kind, size in ((ggml.TQ2_0, 66), (ggml.TQ1_0, 54)):
        raw = np.frombuffer(ggml.PACK[kind](codes, np.float32(0.5)), np.uint8).reshape(-1, size).copy()
        raw[[0, 2, 3], -2:] = 0
        assert ggml.scale_of(raw.reshape(-1), kind) == 0.5
        raw[:, -2:] = 0
        with pytest.raises(ValueError, match="scale 0"):
            ggml.scale_of(raw.reshape(-1), kind)


@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0"])
def test_layouts_are_those_of_the_gguf_package(kind: str) -> None:
    quants = pytest.importorskip("gguf").quants
    package = pytest.importorskip("gguf")
    codes = np.random.default_rng(8).integers(-1, 2, (3, 512)).astype(np.int8)
    number = {"TQ1_0": ggml.TQ1_0, "TQ2_0": ggml.TQ2_0}[kind]
    theirs = quants.quantize(codes * np.float32(0.5), package.GGMLQuantizationType[kind])
    assert theirs.tobytes() == ggml.PACK[number](codes, np.float32(0.5))


def test_q8_0_embeddings(tmp_path: Path, files: dict[tuple[str, str], Path]) -> None:
    """What llama.cpp's quantiser makes of an embedding is read too."""
    source = Gguf(files["silu", "TQ2_0"])
    plan = []
    for name, entry in source.entries.items():
        plan.append((name, "", entry.shape, ggml.Q8_0 if name == "token_embd.weight" else entry.kind))
    values = source.floats("token_embd.weight").reshape(-1, 32)
    scales = (np.abs(values).max(axis=1, keepdims=True) / 127).astype("<f2")
    codes = np.rint(values / scales.astype(np.float32)).astype(np.int8)
    q8 = np.concatenate([scales.view(np.uint8), codes.view(np.uint8)], axis=1).tobytes()
    path = tmp_path / "q8.gguf"
    with open(path, "wb") as out:
        gguf_file._write_header(out, source.fields, plan)
        for name, _, _, kind in plan:
            data = q8 if kind == ggml.Q8_0 else source.raw(name).tobytes()
            out.write(data + bytes(-len(data) % 32))
    expected = codes.astype(np.float32) * scales.astype(np.float32)
    assert (Gguf(path).floats("token_embd.weight").reshape(-1, 32) == expected).all()
    assert torch.isfinite(torch.from_numpy(Engine.load(path).logits(IDS[:4]))).all()
