"""A GGUF file as a source of the engine: bitnet (SiLU), bitnet-b1.58 and its older name bitnet-25 (ReLU squared)."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kobitnet.engine.config import ModelConfig, check_heads
from kobitnet.engine.ggml import (
    BF16,
    BLOCK_NAMES,
    F16,
    F32,
    LINEAR_NAMES,
    UNPACK,
    scale_of,
    ternary_of_floats,
)
from kobitnet.engine.gguf import Gguf
from kobitnet.engine.latents import Part
from kodata.run.errors import UserError

ACTIVATIONS = {"bitnet": "silu", "bitnet-25": "relu2", "bitnet-b1.58": "relu2"}
TABLES = {"embedding": "token_embd.weight", "head": "output.weight"}


class GgufSource:
    """See kobitnet.engine.load.Source. `file.fields` holds the metadata, the tokenizer among it."""

    def __init__(self, path: Path):
        self.file = Gguf(path)
        self.config = read_gguf_config(self.file)

    def rows(self, which: str, first: int, last: int) -> np.ndarray:
        name, shape = TABLES[which], (self.config.vocab, self.config.hidden)
        if self.file.entry(name, shape).kind == BF16:
            rows = self.file.raw(name).view("<u2").reshape(shape)[first:last].copy()
            if ((rows & 0x7F80) == 0x7F80).any():
                raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}", file=self.file.path)
        else:
            rows = self.file.floats(name, shape, slice(first, last))
        self.file.release(name)
        return rows

    def norm(self, layer: int | None, name: str, size: int) -> np.ndarray:
        full = "output_norm" if layer is None else f"blk.{layer}.{BLOCK_NAMES[name]}"
        return self.file.floats(f"{full}.weight", (size,))

    def linear(
        self, layer: int, name: str, shape: tuple[int, int], native: ModuleType | None
    ) -> tuple[list[Part], np.ndarray | None]:
        full = f"blk.{layer}.{LINEAR_NAMES[name]}"
        weight = f"{full}.weight"
        kind = self.file.entry(weight, shape).kind
        try:
            if kind in UNPACK:
                raw = self.file.raw(weight)
                scale = scale_of(raw, kind)
                if native is None:
                    values = UNPACK[kind](raw, shape)
                    if (values > 1).any():
                        raise ValueError("code 3 is not a ternary weight")
                else:
                    values = native.Ternary.from_ggml(raw, *shape, kind)
            elif kind in (F32, F16, BF16):
                codes, scale = ternary_of_floats(self.file.floats(weight, shape))
                values = codes if native is None else native.Ternary.from_values(codes)
            else:
                raise ValueError("neither packed ternary nor F16, BF16, F32")
        except ValueError as error:
            raise UserError(
                f"3진 가중치가 아닙니다 (not a ternary matrix): {weight}: {error}", file=self.file.path
            ) from None
        self.file.release(weight)
        factor = self._factor(f"{full}.scale")
        for extra in (f"{full}.bias", f"{full}.input_scale"):
            if extra in self.file:
                raise UserError(
                    f"엔진이 계산하지 않는 텐서 (tensor the engine does not compute): {extra}",
                    file=self.file.path,
                )
        return [(values, np.array([np.float32(scale) * factor]))], None

    def _factor(self, name: str) -> np.float32:
        """llama.cpp's optional scale of a whole matrix."""
        if name not in self.file:
            return np.float32(1)
        values = self.file.floats(name)
        if values.size != 1 or not values.flat[0] > 0:
            raise UserError(f"잘못된 배율 (bad scale): {name}", file=self.file.path)
        return np.float32(values.flat[0])

    def close(self) -> None:
        self.file.close()


def read_gguf_config(file: Gguf) -> ModelConfig:
    """Shapes and constants from the metadata, checked. Raises UserError for another architecture or a value out of range."""
    fields = file.fields
    arch = fields.get("general.architecture")
    if arch not in ACTIVATIONS:
        raise UserError(
            f"엔진은 b1.58 모델만 계산합니다 (the engine computes b1.58 only, architecture {arch!r})",
            file=file.path,
            help="읽는 것 (readable): " + ", ".join(ACTIVATIONS),
        )

    def get(key: str, default: Any = None) -> Any:
        return fields.get(f"{arch}.{key}", default)

    def whole(key: str, default: int | None = None, top: int = 1 << 31) -> int:
        value = get(key, default)
        if type(value) is not int or not 1 <= value <= top:
            raise UserError(f"잘못된 값 (bad value) {arch}.{key}: {value!r}", file=file.path)
        return value

    def number(key: str, default: float | None = None) -> float:
        value = get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise UserError(f"잘못된 값 (bad value) {arch}.{key}: {value!r}", file=file.path)
        return float(value)

    if get("rope.scaling.type", "none") not in ("none", "") or get("expert_count", 0):
        raise UserError(
            f"지원하지 않는 RoPE 확장이나 전문가 층 (unsupported rope scaling or experts): {arch}",
            file=file.path,
        )
    act = {"relu2": "relu2", "relu_sqr": "relu2", "silu": "silu"}.get(
        str(get("hidden_activation", ACTIVATIONS[arch]))
    )
    if act is None:
        raise UserError(
            f"모르는 활성 함수 (unknown activation): {get('hidden_activation')!r}", file=file.path
        )
    hidden, heads = whole("embedding_length", top=1 << 18), whole("attention.head_count", top=4096)
    config = ModelConfig(
        vocab=file.entry(TABLES["embedding"]).shape[0],
        hidden=hidden,
        inter=whole("feed_forward_length", top=1 << 18),
        layers=whole("block_count", top=4096),
        heads=heads,
        kv_heads=whole("attention.head_count_kv", heads, 4096),
        max_len=whole("context_length", top=1 << 24),
        eps=float(np.float32(number("attention.layer_norm_rms_epsilon"))),
        act="relu2" if act == "relu2" else "silu",
        theta=number("rope.freq_base", 10000.0),
        tied=TABLES["head"] not in file,
        bias=False,
        weights="multiply",
    )
    check_heads(config, file.path)
    if get("rope.dimension_count", config.head_dim) != config.head_dim:
        raise UserError(
            f"머리의 일부만 도는 RoPE 는 지원하지 않습니다 (partial rotation): {get('rope.dimension_count')!r}",
            file=file.path,
        )
    if config.vocab > 1 << 24:
        raise UserError(f"잘못된 어휘 크기 (bad vocabulary size): {config.vocab}", file=file.path)
    return config
