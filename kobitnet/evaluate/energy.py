"""Arithmetic energy of matrix products and memory of weights, by the model of the BitNet papers; package energy where a CPU tells.

Energy of one operation in pJ: BitNet 2310.11453 table 2, after Horowitz, ISSCC 2014 (45 nm) and Zhang et al. 2022 (7 nm).
A product (m, n) x (n, p) costs m (n - 1) p additions and m n p multiplications; with ternary or binary weights the
multiplications are left out but for the scales, (m p + m n) of them, and the additions are int8 (2310.11453 section 2.4).

Counted are the projections of every layer and the two products of attention, Q K^T and its product with V, over the whole length; the
latter stay in FP16 in a BitNet too. Embedding, head, norms, memory traffic and everything else are not counted: this is a
comparison of arithmetic, not the energy of a computer. So computed, all 24 full-precision figures of 2310.11453 table 1 and five of the six models
of the 2B4T report (2504.12285; not Gemma-3, whose heads are narrower than it is) come out to the printed digits; of the 12 BitNet figures two differ by one in
the last digit (0.034 printed as 0.04, 0.135 printed as 0.14).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

PJ: dict[str, dict[str, tuple[float, float]]] = {
    "45nm": {"fp32": (0.9, 3.7), "fp16": (0.4, 1.1), "int8": (0.03, 0.2)},
    "7nm": {"fp32": (0.38, 1.31), "fp16": (0.16, 0.34), "int8": (0.007, 0.07)},
}
"""Process -> number format -> pJ of one (addition, multiplication)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Dimensions of a decoder. `gated`: three matrices of hidden x intermediate a layer, else two."""

    hidden: int
    intermediate: int
    layers: int
    kv_width: int
    """Width of keys and values together over their heads (hidden without grouped heads)."""
    vocab: int
    tied: bool = True
    gated: bool = True

    def projections(self) -> list[tuple[int, int]]:
        """(n, p) of every projection of one layer."""
        h, i = self.hidden, self.intermediate
        up = [(h, i)] * (2 if self.gated else 1)
        return [(h, h), (h, self.kv_width), (h, self.kv_width), (h, h), *up, (i, h)]

    @property
    def non_embedding(self) -> int:
        """Weights in the projections."""
        return self.layers * sum(n * p for n, p in self.projections())

    @property
    def embedding(self) -> int:
        """Weights in embedding and head."""
        return self.vocab * self.hidden * (1 if self.tied else 2)


def shape_of(config: dict) -> Shape:
    """From a transformers config.json."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    return Shape(
        hidden=hidden,
        intermediate=int(config["intermediate_size"]),
        layers=int(config["num_hidden_layers"]),
        kv_width=hidden // heads * int(config.get("num_key_value_heads") or heads),
        vocab=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", False)),  # transformers' default for bitnet
    )


def product(m: int, n: int, p: int, number: str, process: str) -> tuple[float, float]:
    """Joules of (additions, multiplications) of an (m, n) x (n, p) product in a number format."""
    add, mul = PJ[process][number]
    return m * (n - 1) * p * add * 1e-12, m * n * p * mul * 1e-12


def ternary_product(m: int, n: int, p: int, process: str) -> tuple[float, float]:
    """The same with 1-bit or 1.58-bit weights and int8 activations: int8 additions, FP16 multiplications by scales only."""
    return (
        m * (n - 1) * p * PJ[process]["int8"][0] * 1e-12,
        (m * p + m * n) * PJ[process]["fp16"][1] * 1e-12,
    )


def forward(shape: Shape, number: str, process: str = "7nm", length: int = 512) -> tuple[float, float]:
    """Joules of (additions, multiplications) of one pass over `length` tokens. `number`: fp32, fp16 or ternary."""
    ternary = number == "ternary"
    adds = muls = 0.0
    for n, p in shape.projections():
        add, mul = (
            ternary_product(length, n, p, process) if ternary else product(length, n, p, number, process)
        )
        adds, muls = adds + add, muls + mul
    for n, p in ((shape.hidden, length), (length, shape.hidden)):  # all heads together
        add, mul = product(length, n, p, "fp16" if ternary else number, process)
        adds, muls = adds + add, muls + mul
    return adds * shape.layers, muls * shape.layers


BITS = {"fp16": 16.0, "packed": 2.0, "ternary": math.log2(3)}
"""Bits a weight: fp16; four ternary weights a byte, as stored; the information in a ternary weight."""


def weight_bytes(shape: Shape, number: str) -> tuple[float, float]:
    """(projections, embedding and head) in bytes; the latter are 16 bits a weight in either kind of model."""
    return shape.non_embedding * BITS[number] / 8, shape.embedding * 2.0


class PackageEnergy:
    """Joules the processor packages used, by their RAPL counters (Linux powercap; Intel and AMD).

    The counter of the whole platform (psys), which stands beside theirs and contains them, is left out.

    `start()` then `joules()`; None where the counters are absent or may not be read (most virtual machines).
    """

    def __init__(self, root: Path = Path("/sys/class/powercap")) -> None:
        zones = sorted(root.glob("intel-rapl:[0-9]*"))
        self.zones = [zone for zone in zones if zone.name.count(":") == 1 and _name(zone) != "psys"]
        self.before: list[int] | None = None

    def _read(self) -> list[int] | None:
        try:
            return [int((zone / "energy_uj").read_text()) for zone in self.zones] or None
        except (OSError, ValueError):
            return None

    def start(self) -> None:
        """Note the counters."""
        self.before = self._read()

    def joules(self) -> float | None:
        """Since start(), over all packages; a counter that ran over is put right once."""
        now = self._read()
        if now is None or self.before is None:
            return None
        total = 0
        for zone, a, b in zip(self.zones, self.before, now, strict=True):
            if b < a:
                try:
                    b += int((zone / "max_energy_range_uj").read_text())
                except (OSError, ValueError):
                    return None
            total += b - a
        return total / 1e6


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""
