"""A model file into the engine's memory: latents are quantised, packed weights re-laid out, source pages released."""

from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np

from kobitnet.engine import reference
from kobitnet.engine.config import ModelConfig
from kobitnet.engine.latents import Part

Head = Literal["fp32", "bf16", "int8"]
HEADS = ("auto", "fp32", "bf16", "int8")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
ROW_PARALLEL = ("o_proj", "down_proj")  # whose inputs group quantisation splits
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
    ) -> tuple[list[Part], np.ndarray | None]:
        """(the matrix by columns: one part, or config.groups of o_proj and down_proj; bias or None)."""

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
            parts, bias = source.linear(layer, name, shape, native)
            for number, (weights, scales) in enumerate(parts):
                model.set_linear(layer, name, weights, scales, bias, number)
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
        groups=config.groups,
        eps=config.eps,
        act=config.act,
        inv_freq=config.inv_freq(),
    )
