"""An engine with random weights: what a model of this shape knows before training, and how fast it will be."""

import numpy as np

from kobitnet.engine import cpu
from kobitnet.engine.config import ModelConfig
from kobitnet.engine.engine import Engine
from kobitnet.engine.load import NORMS, ROW_PARALLEL, ROWS, linear_shapes, new_model

STD = 0.02  # of fresh latents (kobitnet.model.build_model)


def random_engine(
    config: ModelConfig, *, threads: int | None = None, head: str = "auto", seed: int = 0
) -> Engine:
    """Weights as training starts: embeddings and latents from N(0, 0.02), o_proj and down_proj from 0.02 / sqrt(2 layers),
    norms 1. Codes are drawn directly: signs, or a third each of -1, 0 and 1 (of normal latents 31 % become 0).

    `head` as in Engine.load; the engine has no tokenizer.
    """
    native = cpu.native()
    if native is None:
        cpu.warn_slow()
    count = cpu.set_threads(threads)
    rng = np.random.default_rng(seed)
    model = new_model(config, native)

    form = "fp32" if head == "auto" else head
    one = config.tied and form != "int8"
    for which, kept in ({"embedding": form} if one else {"embedding": "bf16", "head": form}).items():
        model.new_table(which, kept)
        for first in range(0, config.vocab, ROWS):
            rows = rng.standard_normal((min(ROWS, config.vocab - first), config.hidden), np.float32)
            model.add_rows(which, rows * np.float32(STD))
    model.set_final_norm(np.ones(config.hidden, np.float32))
    mean = STD * (2 / np.pi) ** 0.5  # of |w|
    for layer in range(config.layers):
        for name in NORMS:
            n = config.inter if name == "ffn_sub_norm" else config.hidden
            model.set_norm(layer, name, np.ones(n, np.float32))
        for name, shape in linear_shapes(config).items():
            codes = rng.integers(-1, 2, shape, np.int8)
            if config.quant in ("b1", "b1-alpha"):
                codes = np.where(codes >= 0, np.int8(1), np.int8(-1))
            last = name in ROW_PARALLEL
            scale = np.array([mean / (2 * config.layers) ** 0.5 if last else mean], np.float32)
            for part, some in enumerate(np.split(codes, config.groups if last else 1, axis=1)):
                weights = np.ascontiguousarray(some)
                model.set_linear(
                    layer,
                    name,
                    weights if native is None else native.Ternary.from_values(weights),
                    scale,
                    None,
                    part,
                )
    model.check_complete()
    return Engine(model, config, None, count, form)
