"""GGUF: for llama.cpp (architecture `bitnet`: SiLU, tied head; TQ2_0) and for bitnet.cpp (`bitnet-b1.58`: ReLU squared; I2_S).

Written here and not by a library because I2_S (type 36) is known to bitnet.cpp only. Little endian; a matrix [out, in] has
GGUF dims [in, out]. Both runtimes use NeoX rotation, transformers' own order of q and k rows, so nothing is permuted.
llama.cpp quantises activations in blocks of 256 and keeps the scale in fp16: its logits are close to training's, not equal.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kobitnet.engine.config import ModelConfig
from kobitnet.engine.load import linear_shapes, tensor_name
from kobitnet.engine.tensors import Tensors
from kobitnet.export.gguf_tokenizer import tokenizer_fields
from kodata.run.errors import UserError

F32, F16, TQ2_0, I2_S = 0, 1, 35, 36
FILE_TYPES = {TQ2_0: 37, I2_S: 40}  # general.file_type
ALIGN = 32
BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.attn_sub_norm": "attn_sub_norm",
    "mlp.ffn_sub_norm": "ffn_sub_norm",
}
LINEAR_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def pack_tq2_0(codes: np.ndarray, scale: np.float32) -> bytes:
    """int8 (out, in) in {-1, 0, 1}, in a multiple of 256 -> blocks of 66 bytes: 64 of codes t + 1, fp16 scale.

    Weight e of a block: byte (e / 128) * 32 + e % 32, bits 2 * ((e % 128) / 32).
    """
    c = (codes + 1).astype(np.uint8).reshape(-1, 2, 4, 32)
    quants = (c[:, :, 0] | c[:, :, 1] << 2 | c[:, :, 2] << 4 | c[:, :, 3] << 6).reshape(-1, 64)
    scales = np.full((len(quants), 1), scale, "<f2").view(np.uint8)
    return np.concatenate([quants, scales], axis=1).tobytes()


def pack_i2_s(codes: np.ndarray, scale: np.float32) -> bytes:
    """int8 (out, in), in a multiple of 128 -> all codes, then 32 bytes that start with one fp32 scale.

    Weight e of each 128: byte e % 32, bits 6 - 2 * (e / 32).
    """
    c = (codes + 1).astype(np.uint8).reshape(-1, 4, 32)
    quants = c[:, 0] << 6 | c[:, 1] << 4 | c[:, 2] << 2 | c[:, 3]
    return quants.tobytes() + struct.pack("<f", scale) + bytes(28)


def write_gguf(source: Path, config: ModelConfig, folder: Path) -> dict[str, Any]:
    """Write folder/model-TQ2_0.gguf or folder/model-I2_S.gguf and read it back; returns what was checked.

    Raises:
        UserError: a shape, bias or head that the runtime of this architecture cannot compute.
    """
    kind = TQ2_0 if config.act == "silu" else I2_S
    _refuse(config, kind)
    name = "TQ2_0" if kind == TQ2_0 else "I2_S"
    fields = {**_fields(source, config, kind), **tokenizer_fields(source, config.vocab)}
    path = folder / f"model-{name}.gguf"
    tensors = Tensors(source)
    try:
        plan = _plan(config, kind)
        with open(path, "wb") as out:
            _write_header(out, fields, plan)
            for _, origin, shape, stored in plan:
                _write_tensor(out, tensors, origin, shape, stored)
        checked = _check(path, tensors, plan, kind)
    finally:
        tensors.close()
    runtime = "llama.cpp" if kind == TQ2_0 else "bitnet.cpp"
    return {"file": path.name, "runtime": runtime, "tensors": len(plan), "ternary_tensors_read_back": checked}


def _refuse(config: ModelConfig, kind: int) -> None:
    block = 256 if kind == TQ2_0 else 128
    runtime = "llama.cpp (SiLU)" if kind == TQ2_0 else "bitnet.cpp (ReLU²)"
    if config.hidden % block or config.inter % block:
        raise UserError(
            f"{runtime} 는 {block}의 배수만 읽습니다 (sizes must be multiples of {block}): hidden {config.hidden}, inter {config.inter}",
            help="--to hf-packed",
        )
    if kind == TQ2_0 and not config.tied:
        raise UserError(
            f"{runtime} 는 묶인 출력층만 계산합니다 (computes tied embeddings only)", help="--to hf-packed"
        )
    if config.bias:
        raise UserError(
            f"{runtime} 는 attention_bias 를 계산하지 않습니다 (no attention_bias)", help="--to hf-packed"
        )


def _fields(source: Path, config: ModelConfig, kind: int) -> dict[str, Any]:
    arch = "bitnet" if kind == TQ2_0 else "bitnet-b1.58"
    sizes = {
        "block_count": config.layers,
        "embedding_length": config.hidden,
        "feed_forward_length": config.inter,
        "context_length": config.max_len,
        "vocab_size": config.vocab,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.layer_norm_rms_epsilon": float(config.eps),
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": float(config.theta),
    }
    return {
        "general.architecture": arch,
        "general.name": source.resolve().parent.name or "kobitnet",
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        **{f"{arch}.{key}": value for key, value in sizes.items()},
    }


def _plan(config: ModelConfig, kind: int) -> list[tuple[str, str, tuple[int, ...], int]]:
    """(GGUF name, safetensors name, shape [out, in] or [n], type) of every tensor, in file order."""
    table = (config.vocab, config.hidden)
    plan: list[tuple[str, str, tuple[int, ...], int]] = [
        ("token_embd.weight", "model.embed_tokens.weight", table, F16)
    ]
    if not config.tied:
        plan.append(("output.weight", "lm_head.weight", table, F16))
    plan.append(("output_norm.weight", "model.norm.weight", (config.hidden,), F32))
    for layer in range(config.layers):
        for ours, theirs in BLOCK_NAMES.items():
            n = config.inter if theirs == "ffn_sub_norm" else config.hidden
            plan.append((f"blk.{layer}.{theirs}.weight", f"model.layers.{layer}.{ours}.weight", (n,), F32))
        for ours, shape in linear_shapes(config).items():
            plan.append(
                (
                    f"blk.{layer}.{LINEAR_NAMES[ours]}.weight",
                    tensor_name(layer, ours) + ".weight",
                    shape,
                    kind,
                )
            )
    return plan


def nbytes(shape: tuple[int, ...], kind: int) -> int:
    count = int(np.prod(shape))
    return {F32: 4 * count, F16: 2 * count, TQ2_0: count // 256 * 66, I2_S: count // 4 + 32}[kind]


def _write_header(
    out: BinaryIO, fields: dict[str, Any], plan: list[tuple[str, str, tuple[int, ...], int]]
) -> None:
    out.write(b"GGUF" + struct.pack("<IQQ", 3, len(plan), len(fields)))
    for key, value in fields.items():
        out.write(_string(key) + _value(value))
    offset = 0
    for name, _, shape, kind in plan:
        out.write(
            _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)
        )
        offset += _padded(nbytes(shape, kind))
    out.write(bytes(-out.tell() % ALIGN))


def _write_tensor(out: BinaryIO, tensors: Tensors, source: str, shape: tuple[int, ...], stored: int) -> None:
    values = tensors.floats(source, shape)
    if stored == F32:
        data = values.astype("<f4").tobytes()
    elif stored == F16:
        data = _half(values, source).tobytes()
    else:
        codes, scale = _codes(values)
        data = pack_tq2_0(codes, scale) if stored == TQ2_0 else pack_i2_s(codes, scale)
    tensors.release(source)
    out.write(data + bytes(-len(data) % ALIGN))


def _codes(values: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """(codes int8, what one code stands for) as training sees them."""
    import torch

    from kobitnet.quant import ternary

    codes, inverse = ternary(torch.from_numpy(values))
    return codes.to(torch.int8).numpy(), np.float32((1.0 / inverse).item())


def _half(values: np.ndarray, name: str) -> np.ndarray:
    if np.abs(values).max() > 65504:
        raise UserError(
            f"fp16 으로 담을 수 없는 값 (value too large for fp16): {name}", help="--to hf-packed"
        )
    return values.astype("<f2")


def _check(path: Path, tensors: Tensors, plan: list[tuple[str, str, tuple[int, ...], int]], kind: int) -> int:
    """Read every ternary tensor back, weight by weight index formula, and compare codes and scale with the source."""
    start = path.stat().st_size - sum(_padded(nbytes(shape, stored)) for _, _, shape, stored in plan)
    data, checked = np.memmap(path, np.uint8, "r"), 0
    for name, source, shape, stored in plan:
        size = nbytes(shape, stored)
        if stored == kind:
            codes, scale = _codes(tensors.floats(source, shape))
            got, got_scale = (unpack_tq2_0 if kind == TQ2_0 else unpack_i2_s)(
                data[start : start + size], shape
            )
            if not np.array_equal(got, codes) or abs(float(got_scale) / float(scale) - 1) > 2**-10:
                raise UserError(f"검사에 떨어져 내보내지 않았습니다 (export failed its check): {name}")
            checked += 1
        start += _padded(size)
    return checked


def unpack_tq2_0(raw: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.float32]:
    blocks = raw.reshape(-1, 66)
    e = np.arange(256)
    codes = (blocks[:, (e // 128) * 32 + e % 32] >> (2 * ((e % 128) // 32)).astype(np.uint8)) & 3
    return (codes.astype(np.int8) - 1).reshape(shape), np.float32(blocks[0, 64:66].copy().view("<f2")[0])


def unpack_i2_s(raw: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.float32]:
    e = np.arange(128)
    groups = raw[:-32].reshape(-1, 32)
    codes = (groups[:, e % 32] >> (6 - 2 * (e // 32)).astype(np.uint8)) & 3
    return (codes.astype(np.int8) - 1).reshape(shape), np.float32(raw[-32:-28].copy().view("<f4")[0])


def _padded(n: int) -> int:
    return n + -n % ALIGN


def _string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    """Type number and bytes of a metadata value: bool, int (u32), float (f32), str, or a list of str, int (i32)."""
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
        case list():
            return struct.pack("<IIQ", 9, 5, len(value)) + np.asarray(value, "<i4").tobytes()
    raise TypeError(type(value))
