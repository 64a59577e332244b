"""Latents into the codes and scales the engine computes with, one function for each way a model was trained.

Which formula is which stands at the top of kobitnet.quant. Sign weights are ternary codes of which 0 is never used. Sums and means have
the bits of torch on one thread; with more threads torch adds in another order, so that its own scale can differ in the last bit.
"""

from types import ModuleType
from typing import Any

import numpy as np

from kobitnet.engine import cpu, reference
from kobitnet.engine.tensors import to_float32
from kodata.run.errors import UserError

Part = tuple[Any, np.ndarray]
"""Some columns of a matrix: weights (native Ternary, or int8 values (out, n)), and what a code stands for: (1,) or (out,) float32."""


def ternary_part(array: np.ndarray, dtype: str, name: str, native: ModuleType | None) -> Part:
    """b1.58 of latents (out, in), one scale a matrix. Raises UserError for NaN and infinity."""
    if dtype not in ("F32", "BF16"):
        array, dtype = to_float32(array, dtype, name), "F32"
    if native is None:
        values = to_float32(array, dtype, name)
        total = reference.torch_sum(np.abs(values).reshape(1, -1))[0]
    else:
        total = np.float32(native.sum_abs_f32(array) if dtype == "F32" else native.sum_abs_bf16(array))
    _finite(total, name)
    scale, value = reference.weight_scale(total / np.float32(array.size))
    if native is None:
        return reference.ternary_codes(values, scale), _one(value)
    pack = native.Ternary.from_f32 if dtype == "F32" else native.Ternary.from_bf16
    return pack(array, float(scale)), _one(value)


def group_parts(
    values: np.ndarray, name: str, native: ModuleType | None, *, groups: int, by_columns: bool
) -> list[Part]:
    """b1.58 of each of `groups` equal parts of latents (out, in) float32: of the columns, which stay parts, or of the rows."""
    if by_columns:
        blocks = np.split(values, groups, axis=1)
        return [ternary_part(np.ascontiguousarray(block), "F32", name, native) for block in blocks]
    parts = [ternary_part(block, "F32", name, None) for block in np.split(values, groups)]
    scales = np.concatenate([np.repeat(scale, len(codes)) for codes, scale in parts])
    return [(_packed(np.concatenate([codes for codes, _ in parts]), native), scales)]


def centred_sign_part(values: np.ndarray, name: str, native: ModuleType | None) -> Part:
    """b1: +1 above the mean of latents (out, in) float32, else -1, times mean|w|."""
    count = np.float32(values.size)
    total = _finite(reference.torch_sum(np.abs(values).reshape(1, -1))[0], name)
    mean = reference.torch_sum(values.reshape(1, -1))[0] / count
    return _signs(values > mean, native), _one(max(total / count, reference.EPS))


def sign_part(values: np.ndarray, alpha: np.ndarray, name: str, native: ModuleType | None) -> Part:
    """b1-alpha: +1 above 0, else -1, times the learned number alpha (1,)."""
    _finite(np.abs(values).max(), name)
    return _signs(values > 0, native), alpha


def latent_codes(values: np.ndarray, name: str) -> tuple[np.ndarray, np.float32]:
    """(int8 codes (out, in), what one code stands for) of float32 latents by b1.58, for the exporters: what the engine computes with."""
    native = cpu.native()
    codes, scale = ternary_part(values, "F32", name, native)
    return (codes if native is None else codes.values()), scale[0]


def _signs(positive: np.ndarray, native: ModuleType | None) -> Any:
    return _packed(np.where(positive, np.int8(1), np.int8(-1)), native)


def _packed(codes: np.ndarray, native: ModuleType | None) -> Any:
    return codes if native is None else native.Ternary.from_values(codes)


def _one(value: np.float32) -> np.ndarray:
    return np.array([value], np.float32)


def _finite(value: np.float32, name: str) -> np.float32:
    if not np.isfinite(value):
        raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}")
    return value
