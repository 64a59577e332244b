"""A transformers model folder as a source of the engine: latents, or packed weights in either scale convention."""

from pathlib import Path
from types import ModuleType

import numpy as np

from kobitnet.engine import reference
from kobitnet.engine.config import ModelConfig, read_config
from kobitnet.engine.latents import Part, centred_sign_part, group_parts, sign_part, ternary_part
from kobitnet.engine.load import ATTENTION, NORMS, ROW_PARALLEL, tensor_name
from kobitnet.engine.tensors import Tensors, to_float32
from kodata.run.errors import UserError

TABLES = {"embedding": "model.embed_tokens.weight", "head": "lm_head.weight"}


class HfSource:
    """See kobitnet.engine.load.Source."""

    def __init__(self, folder: Path):
        self.config: ModelConfig = read_config(folder)
        self.tensors = Tensors(folder)

    def rows(self, which: str, first: int, last: int) -> np.ndarray:
        name = TABLES[which]
        array, dtype = self.tensors.array(name, (self.config.vocab, self.config.hidden))
        if dtype == "BF16":
            rows = np.array(array[first:last])
            bad = ((rows & 0x7F80) == 0x7F80).any()
        else:
            rows = to_float32(array[first:last], dtype, name)
            bad = not np.isfinite(rows).all()
        if bad:
            raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}", file=self.tensors.folder)
        self.tensors.release(name)
        return rows

    def norm(self, layer: int | None, name: str, size: int) -> np.ndarray:
        full = "model.norm" if layer is None else f"model.layers.{layer}.{NORMS[name]}"
        return self.tensors.floats(f"{full}.weight", (size,))

    def linear(
        self, layer: int, name: str, shape: tuple[int, int], native: ModuleType | None
    ) -> tuple[list[Part], np.ndarray | None]:
        full = tensor_name(layer, name)
        if self.config.weights == "online":
            parts = self._quantised(full, shape, native, by_columns=name in ROW_PARALLEL)
        else:
            parts = [self._packed(full, shape, native)]
        bias = self.config.bias and name in ATTENTION
        self.tensors.release(f"{full}.weight")
        return parts, self.tensors.floats(f"{full}.bias", (shape[0],)) if bias else None

    def _quantised(
        self, full: str, shape: tuple[int, int], native: ModuleType | None, by_columns: bool
    ) -> list[Part]:
        name, quant = f"{full}.weight", self.config.quant
        array, dtype = self.tensors.array(name, shape)
        if quant == "b1.58":
            return [ternary_part(array, dtype, name, native)]
        values = to_float32(array, dtype, name)
        if quant == "group":
            return group_parts(values, name, native, groups=self.config.groups, by_columns=by_columns)
        if quant == "b1":
            return [centred_sign_part(values, name, native)]
        return [sign_part(values, self.tensors.floats(f"{full}.alpha", (1,)), name, native)]

    def _packed(self, full: str, shape: tuple[int, int], native: ModuleType | None) -> Part:
        name, folder = f"{full}.weight", self.tensors.folder
        rows, cols = shape
        if rows % 4:
            raise UserError(
                f"묶인 행 수가 4의 배수가 아닙니다 (packed rows not a multiple of 4): {name}", file=folder
            )
        array, dtype = self.tensors.array(name, (rows // 4, cols))
        if dtype != "U8":
            raise UserError(f"묶인 가중치가 아닙니다 (not packed: {dtype}): {name}", file=folder)
        scales = self.tensors.floats(f"{full}.weight_scale")
        if scales.size != 1 or not scales.flat[0] > 0:
            raise UserError(f"잘못된 weight_scale (bad weight_scale): {full}", file=folder)
        scale = np.float32(scales.flat[0])
        if self.config.weights == "divide":
            scale = np.float32(1) / scale
        try:
            values = _unpack(array) if native is None else native.Ternary.from_hf(array)
        except ValueError as error:
            raise UserError(f"잘못된 삼진 부호 (bad ternary code): {name}: {error}", file=folder) from None
        return values, np.array([scale])

    def close(self) -> None:
        self.tensors.close()


def _unpack(packed: np.ndarray) -> np.ndarray:
    values = reference.unpack_hf(packed)
    if (values > 1).any():
        raise ValueError("code 3 is not a ternary weight")
    return values
