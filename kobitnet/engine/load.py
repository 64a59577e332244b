"""A model folder into the engine's memory: latents are quantised, packed weights re-laid out, source pages released."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kobitnet.engine import reference
from kobitnet.engine.config import ModelConfig
from kobitnet.engine.tensors import Tensors, to_float32
from kodata.run.errors import UserError

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
NORMS = {
    "input_layernorm": "input_layernorm",
    "post_attention_layernorm": "post_attention_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}


def linear_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """(out, in) of the ternary matrices of a block, by name."""
    kv = config.kv_heads * config.head_dim
    h, i = config.hidden, config.inter
    return {
        "q_proj": (h, h),
        "k_proj": (kv, h),
        "v_proj": (kv, h),
        "o_proj": (h, h),
        "gate_proj": (i, h),
        "up_proj": (i, h),
        "down_proj": (h, i),
    }


def tensor_name(layer: int, name: str) -> str:
    part = "self_attn" if name in ATTENTION else "mlp"
    return f"model.layers.{layer}.{part}.{name}"


def load_model(folder: Path, config: ModelConfig, native: ModuleType | None, head: str) -> tuple[Any, bool]:
    """(a native Model, or a NumpyModel when native is None, with every weight in place; whether its head is bf16).

    `head`: fp32, bf16, or auto (as stored). Raises UserError for a missing, misshapen or non-finite tensor.
    """
    tensors = Tensors(folder)
    try:
        model = new_model(config, native)
        shape = (config.vocab, config.hidden)
        table = _table(tensors, "model.embed_tokens.weight", shape, head if config.tied else "auto")
        model.set_embedding(table)
        if not config.tied:
            table = _table(tensors, "lm_head.weight", shape, head)
            model.set_head(table)
        bf16 = table.dtype == np.uint16
        del table
        model.set_final_norm(tensors.floats("model.norm.weight", (config.hidden,)))
        for layer in range(config.layers):
            for name, suffix in NORMS.items():
                n = config.inter if name == "ffn_sub_norm" else config.hidden
                model.set_norm(layer, name, tensors.floats(f"model.layers.{layer}.{suffix}.weight", (n,)))
            for name, (rows, cols) in linear_shapes(config).items():
                full = tensor_name(layer, name)
                values, scale = _ternary(tensors, full, rows, cols, config, native)
                bias = tensors.floats(full + ".bias", (rows,)) if config.bias and name in ATTENTION else None
                model.set_linear(layer, name, values, scale, bias)
                tensors.release(full + ".weight")
        model.check_complete()
        return model, bf16
    finally:
        tensors.close()


def new_model(config: ModelConfig, native: ModuleType | None) -> Any:
    """An empty model of this shape."""
    if native is None:
        return reference.NumpyModel(config)
    return native.Model(
        vocab=config.vocab,
        hidden=config.hidden,
        inter=config.inter,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        max_len=config.max_len,
        eps=config.eps,
        act=config.act,
        inv_freq=config.inv_freq(),
    )


def quantize_latents(
    array: np.ndarray, dtype: str, name: str, native: ModuleType | None
) -> tuple[Any, np.float32]:
    """(ternary weights: native Ternary or int8 values, the scale they stand for) of latents (out, in).

    The mean of |w| is summed in double and rounded once; torch sums in float32 in an order that depends on its
    threads, so its scale can differ in the last bit.
    """
    if dtype not in ("F32", "BF16"):
        array, dtype = to_float32(array, dtype, name), "F32"
    if native is None:
        values = to_float32(array, dtype, name)
        total = float(np.abs(values).sum(dtype=np.float64))
    else:
        total = native.sum_abs_f32(array) if dtype == "F32" else native.sum_abs_bf16(array)
    if not np.isfinite(total):
        raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}")
    scale, value = reference.weight_scale(total / array.size)
    if native is None:
        return reference.ternary_codes(values, scale), value
    pack = native.Ternary.from_f32 if dtype == "F32" else native.Ternary.from_bf16
    return pack(array, float(scale)), value


def _ternary(
    tensors: Tensors, full: str, rows: int, cols: int, config: ModelConfig, native: ModuleType | None
) -> tuple[Any, float]:
    name = full + ".weight"
    if config.weights == "online":
        array, dtype = tensors.array(name, (rows, cols))
        values, scale = quantize_latents(array, dtype, name, native)
        return values, float(scale)
    if rows % 4:
        raise UserError(
            f"묶인 행 수가 4의 배수가 아닙니다 (packed rows not a multiple of 4): {name}", file=tensors.folder
        )
    array, dtype = tensors.array(name, (rows // 4, cols))
    if dtype != "U8":
        raise UserError(f"묶인 가중치가 아닙니다 (not packed: {dtype}): {name}", file=tensors.folder)
    scale_values = tensors.floats(full + ".weight_scale")
    if scale_values.size != 1 or not scale_values.flat[0] > 0:
        raise UserError(f"잘못된 weight_scale (bad weight_scale): {full}", file=tensors.folder)
    scale = scale_values.flat[0]
    if config.weights == "divide":
        scale = np.float32(1) / scale
    try:
        values = reference_unpack(array) if native is None else native.Ternary.from_hf(array)
    except ValueError as error:
        raise UserError(
            f"잘못된 삼진 부호 (bad ternary code): {name}: {error}", file=tensors.folder
        ) from None
    return values, float(scale)


def reference_unpack(packed: np.ndarray) -> np.ndarray:
    values = reference.unpack_hf(packed)
    if (values > 1).any():
        raise ValueError("code 3 is not a ternary weight")
    return values


def _table(tensors: Tensors, name: str, shape: tuple[int, int], kind: str) -> np.ndarray:
    """Embedding or head: float32, or bf16 bits (uint16) when stored or wanted so."""
    array, dtype = tensors.array(name, shape)
    if dtype == "BF16" and kind != "fp32":
        return array
    values = to_float32(array, dtype, name)
    if not np.isfinite(values).all():
        raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}", file=tensors.folder)
    tensors.release(name)
    return to_bf16(values) if kind == "bf16" else values


def to_bf16(values: np.ndarray) -> np.ndarray:
    """bf16 bits (uint16) of finite float32, rounded half to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
