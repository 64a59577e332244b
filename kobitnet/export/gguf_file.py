"""GGUF: for llama.cpp (architecture `bitnet`: SiLU, tied head; TQ2_0, TQ1_0, F16) and for bitnet.cpp (`bitnet-b1.58`: ReLU
squared; I2_S).

Written here and not by a library because I2_S (type 36) is known to bitnet.cpp only. Little endian; a matrix [out, in] has
GGUF dims [in, out]. Both runtimes use NeoX rotation, transformers' own order of q and k rows, so nothing is permuted.
llama.cpp quantises activations in blocks of 256 and keeps block scales in fp16: its logits are close to training's, not equal.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from kobitnet.engine.config import ModelConfig
from kobitnet.engine.ggml import (
    BLOCK_NAMES,
    F16,
    F32,
    I2_S,
    LINEAR_NAMES,
    PACK,
    TQ1_0,
    TQ2_0,
    TYPE_NAMES,
    UNPACK,
    nbytes,
    scale_of,
    ternary_of_floats,
)
from kobitnet.engine.gguf import Gguf
from kobitnet.engine.latents import latent_codes
from kobitnet.engine.load import NORMS, linear_shapes, tensor_name
from kobitnet.engine.tensors import Tensors
from kobitnet.export.gguf_tokenizer import tokenizer_fields
from kodata.run.errors import UserError
from kodata.run.files import read_json_object
from kotok.gguf_metadata import string_bytes, value_bytes

GgufType = Literal["auto", "TQ2_0", "TQ1_0", "F16", "I2_S"]
TYPES = {TYPE_NAMES[kind]: kind for kind in (TQ2_0, TQ1_0, F16, I2_S)}
FILE_TYPES = {F16: 1, TQ1_0: 36, TQ2_0: 37, I2_S: 40}  # general.file_type
ALIGN = 32


def write_gguf(source: Path, config: ModelConfig, folder: Path, wanted: GgufType = "auto") -> dict[str, Any]:
    """Write folder/model-TYPE.gguf and read it back with the engine's reader; returns what was checked.

    auto: TQ2_0 for SiLU, I2_S for ReLU squared.

    Raises:
        UserError: a shape, bias, head or type that the runtime of this architecture cannot compute.
    """
    kind = (TQ2_0 if config.act == "silu" else I2_S) if wanted == "auto" else TYPES[wanted]
    _refuse(config, kind)
    name = TYPE_NAMES[kind]
    fields = {**_fields(source, config, kind), **tokenizer_fields(source, config.vocab)}
    path = folder / f"model-{name}.gguf"
    tensors = Tensors(source)
    try:
        plan = _plan(config, kind)
        with open(path, "wb") as out:
            _write_header(out, fields, plan)
            for _, origin, shape, stored in plan:
                _write_tensor(out, tensors, origin, shape, stored, kind)
        checked = _check(path, tensors, plan, kind)
    finally:
        tensors.close()
    runtime = "llama.cpp" if config.act == "silu" else "bitnet.cpp"
    return {"file": path.name, "runtime": runtime, "tensors": len(plan), "ternary_tensors_read_back": checked}


def _refuse(config: ModelConfig, kind: int) -> None:
    silu = config.act == "silu"
    runtime = "llama.cpp (SiLU)" if silu else "bitnet.cpp (ReLU²)"
    block = {TQ2_0: 256, TQ1_0: 256, I2_S: 128}.get(kind, 1)
    if (kind == I2_S) == silu and kind != F16:
        raise UserError(
            f"{runtime} 는 {TYPE_NAMES[kind]} 를 읽지 않습니다 (does not read this type)",
            help="--gguf-type auto",
        )
    if config.hidden % block or config.inter % block:
        raise UserError(
            f"{runtime} 는 {block}의 배수만 읽습니다 (sizes must be multiples of {block}): hidden {config.hidden}, inter {config.inter}",
            help="--to hf-packed",
        )
    if silu and not config.tied:
        raise UserError(
            f"{runtime} 는 묶인 출력층만 계산합니다 (computes tied embeddings only)", help="--to hf-packed"
        )
    if config.bias:
        raise UserError(
            f"{runtime} 는 attention_bias 를 계산하지 않습니다 (no attention_bias)", help="--to hf-packed"
        )


def _fields(source: Path, config: ModelConfig, kind: int) -> dict[str, Any]:
    arch = "bitnet" if config.act == "silu" else "bitnet-b1.58"
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
    ours = read_json_object(source / "config.json").get("kobitnet")
    stage = ours.get("stage") if isinstance(ours, dict) else None
    return {
        "general.architecture": arch,
        "general.name": source.resolve().parent.name or "kobitnet",
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        **({"kobitnet.stage": stage} if isinstance(stage, str) else {}),
        **{f"{arch}.{key}": value for key, value in sizes.items()},
    }


Plan = list[tuple[str, str, tuple[int, ...], int]]


def _plan(config: ModelConfig, kind: int) -> Plan:
    """(GGUF name, safetensors name, shape [out, in] or [n], type) of every tensor, in file order.

    A block-quantised matrix (TQ2_0, TQ1_0) has block scales of 1 and its own fp32 scale in `….scale`, which llama.cpp
    multiplies with: fp16 block scales would round it.
    """
    table = (config.vocab, config.hidden)
    plan: Plan = [("token_embd.weight", "model.embed_tokens.weight", table, F16)]
    if not config.tied:
        plan.append(("output.weight", "lm_head.weight", table, F16))
    plan.append(("output_norm.weight", "model.norm.weight", (config.hidden,), F32))
    for layer in range(config.layers):
        for ours, theirs in BLOCK_NAMES.items():
            n = config.inter if theirs == "ffn_sub_norm" else config.hidden
            plan.append(
                (f"blk.{layer}.{theirs}.weight", f"model.layers.{layer}.{NORMS[ours]}.weight", (n,), F32)
            )
        for ours, shape in linear_shapes(config).items():
            name, origin = f"blk.{layer}.{LINEAR_NAMES[ours]}", tensor_name(layer, ours) + ".weight"
            plan.append((f"{name}.weight", origin, shape, kind))
            if kind in (TQ2_0, TQ1_0):
                plan.append((f"{name}.scale", origin, (1,), F32))
    return plan


def _write_header(out: BinaryIO, fields: dict[str, Any], plan: Plan) -> None:
    out.write(b"GGUF" + struct.pack("<IQQ", 3, len(plan), len(fields)))
    for key, value in fields.items():
        out.write(string_bytes(key) + value_bytes(value))
    offset = 0
    for name, _, shape, kind in plan:
        out.write(
            string_bytes(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)
        )
        offset += _padded(nbytes(shape, kind))
    out.write(bytes(-out.tell() % ALIGN))


def _write_tensor(
    out: BinaryIO, tensors: Tensors, source: str, shape: tuple[int, ...], stored: int, kind: int
) -> None:
    if source.endswith("_proj.weight"):
        codes, scale = latent_codes(tensors.floats(source), source)
        if shape == (1,):
            data = np.array([scale], "<f4").tobytes()
        elif stored == F16:
            data = (codes * np.float16(scale)).astype("<f2").tobytes()
        else:
            data = PACK[stored](codes, scale if stored == I2_S else np.float32(1))
    elif stored == F32:
        data = tensors.floats(source, shape).astype("<f4").tobytes()
    else:
        data = _half(tensors.floats(source, shape), source).tobytes()
    tensors.release(source)
    out.write(data + bytes(-len(data) % ALIGN))


def _half(values: np.ndarray, name: str) -> np.ndarray:
    if np.abs(values).max() > 65504:
        raise UserError(
            f"fp16 으로 담을 수 없는 값 (value too large for fp16): {name}", help="--to hf-packed"
        )
    return values.astype("<f2")


def _check(path: Path, tensors: Tensors, plan: Plan, kind: int) -> int:
    """Open the file with the engine's checked reader, unpack every ternary matrix by its index formula, and compare codes
    and scale with the source."""
    file, checked = Gguf(path), 0
    try:
        for name, source, shape, _ in plan:
            if not source.endswith("_proj.weight") or shape == (1,):
                continue
            codes, scale = latent_codes(tensors.floats(source), source)
            raw = file.raw(name)
            if kind == F16:
                got, got_scale = ternary_of_floats(file.floats(name, shape))
            else:
                got, got_scale = UNPACK[kind](raw, shape), scale_of(raw, kind)
            if (factor := name.removesuffix("weight") + "scale") in file:
                got_scale = got_scale * file.floats(factor)[0]
            close = abs(float(got_scale) / float(scale) - 1) <= (2**-10 if kind == F16 else 0)
            if not np.array_equal(got, codes) or (not close and codes.any()):
                raise UserError(f"검사에 떨어져 내보내지 않았습니다 (export failed its check): {name}")
            file.release(name)
            checked += 1
    finally:
        file.close()
    return checked


def _padded(n: int) -> int:
    return n + -n % ALIGN
