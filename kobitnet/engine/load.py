"""A model file into the engine's memory: latents are quantised, packed weights re-laid out, source pages released."""

from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np

from kobitnet.engine import cpu, reference
from kobitnet.engine.config import ModelConfig
from kobitnet.engine.tensors import to_float32
from kodata.run.errors import UserError

Head = Literal["fp32", "bf16", "int8"]
HEADS = ("auto", "fp32", "bf16", "int8")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
NORMS = {
    "input_layernorm": "input_layernorm",
    "post_attention_layernorm": "post_attention_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}
ROWS = 4096  # of a table read at once: what is resident twice


class Source(Protocol):
    """An open model file. Methods raise UserError for what is missing, misshapen, not finite or not ternary."""

    config: ModelConfig

    def rows(self, which: str, first: int, last: int) -> np.ndarray:
        """Rows of the `embedding` or `head` table: float32, or bf16 bits (uint16); their pages are given back."""

    def norm(self, layer: int | None, name: str, size: int) -> np.ndarray:
        """A norm's weight; layer None is the final norm."""

    def linear(
        self, layer: int, name: str, shape: tuple[int, int], native: ModuleType | None
    ) -> tuple[Any, float, np.ndarray | None]:
        """(weights: native Ternary or int8 values (out, in), what one code stands for, bias or None)."""

    def close(self) -> None: ...


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


def load_model(source: Source, native: ModuleType | None, head: str) -> tuple[Any, Head]:
    """(a native Model, or a NumpyModel when native is None, with every weight in place; the form of its head).

    `head`: fp32, bf16, int8, or auto: bf16 when every value fits without rounding, else fp32. A tied table has the form of
    the head, but for int8, which is a copy: embeddings stay as they are.
    """
    config = source.config
    model = new_model(config, native)
    stored: dict[str, Head] = {}

    def fill(which: str, origin: str, form: str) -> Head:
        if form == "auto":
            form = stored[origin] = stored.get(origin) or _lossless(source, origin)
        model.new_table(which, form)
        for first in range(0, config.vocab, ROWS):
            model.add_rows(which, source.rows(origin, first, min(first + ROWS, config.vocab)))
        return form  # type: ignore[return-value]

    form: Head
    if config.tied:
        form = fill("embedding", "embedding", "auto" if head == "int8" else head)
        if head == "int8":
            form = fill("head", "embedding", "int8")
    else:
        fill("embedding", "embedding", "auto")
        form = fill("head", "head", head)
    model.set_final_norm(source.norm(None, "norm", config.hidden))
    for layer in range(config.layers):
        for name in NORMS:
            size = config.inter if name == "ffn_sub_norm" else config.hidden
            model.set_norm(layer, name, source.norm(layer, name, size))
        for name, shape in linear_shapes(config).items():
            values, scale, bias = source.linear(layer, name, shape, native)
            model.set_linear(layer, name, values, scale, bias)
    model.check_complete()
    return model, form


def _lossless(source: Source, which: str) -> Head:
    """bf16 when the table holds nothing that bf16 cannot."""
    vocab = source.config.vocab
    for first in range(0, vocab, ROWS):
        rows = source.rows(which, first, min(first + ROWS, vocab))
        if rows.dtype == np.uint16:
            return "bf16"
        if (rows.view(np.uint32) & 0xFFFF).any():
            return "fp32"
    return "bf16"


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

    The mean of |w| has the bits of torch on one thread; with more threads torch adds in another order, so that its own
    scale can differ in the last bit.
    """
    if dtype not in ("F32", "BF16"):
        array, dtype = to_float32(array, dtype, name), "F32"
    if native is None:
        values = to_float32(array, dtype, name)
        total = reference.torch_sum(np.abs(values).reshape(1, -1))[0]
    else:
        total = np.float32(native.sum_abs_f32(array) if dtype == "F32" else native.sum_abs_bf16(array))
    if not np.isfinite(total):
        raise UserError(f"유한하지 않은 값 (NaN or infinity): {name}")
    scale, value = reference.weight_scale(total / np.float32(array.size))
    if native is None:
        return reference.ternary_codes(values, scale), value
    pack = native.Ternary.from_f32 if dtype == "F32" else native.Ternary.from_bf16
    return pack(array, float(scale)), value


def latent_codes(values: np.ndarray, name: str) -> tuple[np.ndarray, np.float32]:
    """(int8 codes (out, in), what one code stands for) of float32 latents, for the exporters: what the engine computes with."""
    native = cpu.native()
    codes, scale = quantize_latents(values, "F32", name, native)
    return (codes if native is None else codes.values()), scale
