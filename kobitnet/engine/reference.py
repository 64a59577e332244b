"""The arithmetic of the engine in numpy: the oracle of the native code, and the path used when it was not built.

Linear layers are exact in int32; the rest is float32 in the order of transformers' BitNetForCausalLM.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kobitnet.engine.config import ModelConfig
from kodata.run.errors import UserError

EPS = np.float32(1e-5)


def weight_scale(mean_abs: np.float32) -> tuple[np.float32, np.float32]:
    """(what latents are multiplied with, what ternary values stand for): scale = 1 / max(mean, 1e-5) in fp32, and 1 / scale."""
    scale = np.float32(1) / max(np.float32(mean_abs), EPS)
    return scale, np.float32(1) / scale


def ternary_codes(latents: np.ndarray, scale: np.float32) -> np.ndarray:
    """int8 in {-1, 0, 1}: round_half_even(w * scale) clamped (b1.58, arXiv 2402.17764 eq. 1-3)."""
    return np.clip(np.rint(latents.astype(np.float32) * scale), -1, 1).astype(np.int8)


def unpack_hf(packed: np.ndarray) -> np.ndarray:
    """transformers' packing uint8 (out / 4, in) -> int8 (out, in): row r + i * (out / 4) in bits 2i, code w + 1."""
    return np.concatenate([((packed >> (2 * i)) & 3).astype(np.int8) - 1 for i in range(4)])


def pack_hf(values: np.ndarray) -> np.ndarray:
    """int8 (out, in), out a multiple of 4 -> uint8 (out / 4, in)."""
    codes = (values + 1).astype(np.uint8).reshape(4, -1, values.shape[1])
    return codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6


def quantize(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (m, n) float32 -> int8 codes (m, n), scale (m,): round_half_even(x * s), s = 127 / max(|x|max, 1e-5)."""
    scale = (
        np.float32(1) / np.maximum(np.abs(x).max(axis=1), EPS) * np.float32(127)
    )  # torch's 127 / x, in two roundings
    return np.clip(np.rint(x * scale[:, None]), -128, 127).astype(np.int8), scale


def int_matmul(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """int8 (m, n) x int8 (out, n) -> int32 (m, out), exact: float64 holds every sum below 2^53."""
    return (x.astype(np.float64) @ w.astype(np.float64).T).astype(np.int32)


def torch_sum(x: np.ndarray) -> np.ndarray:
    """Sum of float32 (m, n) along n in the order of torch on one thread, bit for bit from n = 8 on: (m,) float32.

    4 x 8 interleaved lanes, in blocks of 2^p rows, these in blocks of 2^p, and so on (native/cpu/SumKernel.cpp, cascade sum).
    """
    m, n = x.shape
    vectors, size = n // 8, n // 32
    power = max(4, (size - 1).bit_length() // 4 if size > 1 else 0)
    step = 1 << power
    rows = x[:, : size * 32].reshape(m, size, 4, 8)
    left = []  # what each level could not fill
    for _ in range(3):
        whole = rows.shape[1] // step * step
        left.append(_in_turn(rows[:, whole:]))
        rows = _in_turn(rows[:, :whole].reshape(m, whole // step, step, 4, 8), axis=2)
    left.append(_in_turn(rows))
    lanes = ((left[0] + left[1]) + left[2]) + left[3]
    first = lanes[:, 0]
    for i in range(4 * size, vectors):
        first = first + x[:, 8 * i : 8 * i + 8]
    first = ((first + lanes[:, 1]) + lanes[:, 2]) + lanes[:, 3]
    total = np.zeros(m, np.float32)
    for i in range(8 * vectors, n):
        total = total + x[:, i]
    for lane in range(8):
        total = total + first[:, lane]
    return total


def _in_turn(rows: np.ndarray, axis: int = 1) -> np.ndarray:
    """Sum along an axis, one after another."""
    parts = np.moveaxis(rows, axis, 0)
    total = np.zeros(parts.shape[1:], np.float32)
    for part in parts:
        total = total + part
    return total


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: np.float32) -> np.ndarray:
    mean = torch_sum(x * x)[:, None] / np.float32(x.shape[1])
    return weight * (x * (np.float32(1) / np.sqrt(mean + eps)))


class NumpyCache:
    """Keys and values of one sequence: per layer (tokens, kv_heads, head_dim)."""

    def __init__(self, layers: int):
        self.length = 0
        self.keys: list[np.ndarray | None] = [None] * layers
        self.values: list[np.ndarray | None] = [None] * layers

    def truncate(self, length: int) -> None:
        self.length = length

    def fork(self, length: int) -> "NumpyCache":
        copy = NumpyCache(len(self.keys))
        copy.length = length
        copy.keys, copy.values = list(self.keys), list(self.values)  # append never changes them in place
        return copy

    def append(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        old_k, old_v = self.keys[layer], self.values[layer]
        keys = k if old_k is None else np.concatenate([old_k[: self.length], k])
        values = v if old_v is None else np.concatenate([old_v[: self.length], v])
        self.keys[layer], self.values[layer] = keys, values
        return keys, values


class NumpyModel:
    """The same interface as the native Model."""

    def __init__(self, config: ModelConfig):
        self.config = config
        self.inv_freq = config.inv_freq()
        self.linears: dict[tuple[int, str], list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]] = {}
        self.norms: dict[tuple[int, str], np.ndarray] = {}
        self.embedding = self.head = self.final_norm = np.empty((0, 0), np.float32)
        self.forms: dict[str, str] = {}

    def new_table(self, which: str, form: str) -> None:
        self.forms[which] = form
        setattr(self, which, np.empty((0, self.config.hidden), np.float32))

    def add_rows(self, which: str, rows: np.ndarray) -> None:
        values = (rows.astype(np.uint32) << 16).view(np.float32) if rows.dtype == np.uint16 else rows
        if self.forms[which] == "bf16":
            values = (round_bf16(values).astype(np.uint32) << 16).view(np.float32)
        elif self.forms[which] == "int8":
            values = round_int8(values)
        setattr(self, which, np.concatenate([getattr(self, which), values]))

    def head_bytes(self) -> int:
        return (self.head if self.head.size else self.embedding).nbytes

    def set_final_norm(self, weight: np.ndarray) -> None:
        self.final_norm = weight

    def set_norm(self, layer: int, name: str, weight: np.ndarray) -> None:
        self.norms[layer, name] = weight

    def set_linear(
        self,
        layer: int,
        name: str,
        values: np.ndarray,
        scale: np.ndarray,
        bias: np.ndarray | None = None,
        part: int = 0,
    ) -> None:
        parts = self.linears.setdefault((layer, name), [])
        parts[part:] = [(values, scale, bias)]

    def nbytes(self) -> int:
        return sum(w.nbytes for parts in self.linears.values() for w, _, _ in parts)

    def check_complete(self) -> None:
        pass  # the loader sets every tensor by name

    def cache(self, tokens: int = 0) -> NumpyCache:
        return NumpyCache(self.config.layers)

    def linear(self, layer: int, name: str, inputs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """The sum over the parts of a matrix by columns, each times its (codes, scales) of the inputs: (m, out)."""
        total: np.ndarray | None = None
        for (w, s, bias), (q, scale) in zip(self.linears[layer, name], inputs, strict=True):
            y = int_matmul(q, w).astype(np.float32) * (s[None, :] / scale[:, None])
            y = y if bias is None else y + bias
            total = y if total is None else total + y
        assert total is not None
        return total

    def normed(
        self, x: np.ndarray, layer: int, name: str, groups: int = 1
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Norm and quantise each of `groups` equal parts of every token: (codes, scales) of each part."""
        weight, eps = self.norms[layer, name], np.float32(self.config.eps)
        parts = zip(np.split(x, groups, axis=1), np.split(weight, groups), strict=True)
        return [quantize(rms_norm(np.ascontiguousarray(a), w, eps)) for a, w in parts]

    def hidden(self, cache: NumpyCache, ids: np.ndarray) -> np.ndarray:
        """Final hidden states (m, hidden), normed; appends to the cache."""
        c, m = self.config, len(ids)
        if cache.length + m > c.max_len:
            raise ValueError("forward: longer than the model's max_position_embeddings")
        if m and not 0 <= ids.min() <= ids.max() < c.vocab:
            raise ValueError("forward: token id out of range")
        h = self.embedding[ids]
        eps, dim, share = np.float32(c.eps), c.head_dim, c.heads // c.kv_heads
        angles = np.arange(cache.length, cache.length + m, dtype=np.float32)[:, None] * self.inv_freq
        cos = np.cos(angles.astype(np.float64)).astype(np.float32)[:, None, :]
        sin = np.sin(angles.astype(np.float64)).astype(np.float32)[:, None, :]

        def rotate(x: np.ndarray) -> np.ndarray:
            lo, hi = x[..., : dim // 2], x[..., dim // 2 :]
            return np.concatenate([lo * cos - hi * sin, hi * cos + lo * sin], axis=-1)

        for layer in range(c.layers):
            q8 = self.normed(h, layer, "input_layernorm")
            q = rotate(self.linear(layer, "q_proj", q8).reshape(m, c.heads, dim))
            k = rotate(self.linear(layer, "k_proj", q8).reshape(m, c.kv_heads, dim))
            keys, values = cache.append(
                layer, k, self.linear(layer, "v_proj", q8).reshape(m, c.kv_heads, dim)
            )
            scores = np.einsum("mgsd,ngd->gsmn", q.reshape(m, c.kv_heads, share, dim), keys) * np.float32(
                1 / np.sqrt(np.float32(dim))
            )
            seen = np.arange(len(keys))[None, :] <= np.arange(cache.length, cache.length + m)[:, None]
            scores = np.where(seen, scores, np.float32(-np.inf))
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
            attn = np.einsum("gsmn,ngd->mgsd", scores, values).reshape(m, c.hidden)
            h = h + self.linear(layer, "o_proj", self.normed(attn, layer, "attn_sub_norm", c.groups))
            q8 = self.normed(h, layer, "post_attention_layernorm")
            gate = self.linear(layer, "gate_proj", q8)
            gate = (
                np.square(np.maximum(gate, 0))
                if c.act == "relu2"
                else gate / (1 + np.exp(-np.clip(gate, -87, None)))
            )
            inner = gate * self.linear(layer, "up_proj", q8)
            h = h + self.linear(layer, "down_proj", self.normed(inner, layer, "ffn_sub_norm", c.groups))
        cache.length += m
        return rms_norm(h, self.final_norm, eps)

    def _logits(self, cache: NumpyCache, ids: np.ndarray, want: str) -> np.ndarray:
        hidden = self.hidden(cache, ids)
        hidden = {"nothing": hidden[:0], "last": hidden[-1:], "all": hidden}[want]
        return hidden @ (self.head if self.head.size else self.embedding).T

    def forward(
        self, caches: Sequence[NumpyCache], counts: Sequence[int], ids: np.ndarray, want: str
    ) -> np.ndarray:
        """Append counts[i] of the ids to caches[i]; logits (0, sequences or m, vocab) for want = nothing, last, all."""
        parts = np.split(ids, np.cumsum(counts)[:-1])
        return np.concatenate([self._logits(c, part, want) for c, part in zip(caches, parts, strict=True)])

    def logprobs(
        self, caches: Sequence[NumpyCache], counts: Sequence[int], ids: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        logits = self.forward(caches, counts, ids, "all").astype(np.float64)
        top = logits.max(axis=1)
        total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        return (logits[np.arange(len(ids)), targets] - total).astype(np.float32)


def round_bf16(values: np.ndarray) -> np.ndarray:
    """bf16 bits (uint16) of finite float32, rounded half to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


def round_int8(values: np.ndarray) -> np.ndarray:
    """float32 (rows, n) rounded to 255 steps a row: what an int8 head multiplies with."""
    scale = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    return np.clip(np.rint(values * inverse), -127, 127) * scale


def as_ids(ids: Sequence[int] | Any) -> np.ndarray:
    return np.ascontiguousarray(ids, dtype=np.int32)


def check_ids(ids: Sequence[int] | Any, vocab: int, positions: int) -> np.ndarray:
    """(n,) int64 ids that a model of this vocabulary and length can read; both backends refuse the same ones.

    Raises:
        UserError: no ids, one out of range, more than `positions`.
    """
    wide = np.asarray(ids, dtype=np.int64).reshape(-1)
    if not len(wide):
        raise UserError("빈 입력 (no tokens: nothing to go on from)", help="글을 주세요 (give a prompt)")
    if wide.min() < 0 or wide.max() >= vocab:
        bad = wide[(wide < 0) | (wide >= vocab)][0]
        raise UserError(
            f"어휘 밖의 토큰 (token id out of range): {bad}, vocab {vocab}",
            help="이 모델의 토크나이저로 만든 id 인지 확인하세요 (use this model's tokenizer)",
        )
    if len(wide) > positions:
        raise UserError(
            f"입력이 너무 깁니다 ({len(wide)} tokens, the model reads {positions})",
            help="줄이세요 (shorten it)",
        )
    return wide


def check_context(context: Sequence[int]) -> list[int]:
    """A context that something can follow. Raises UserError for an empty one: the first token has no probability."""
    if not len(context):
        raise UserError(
            "빈 문맥 (empty context)",
            help="문서 시작 토큰을 앞에 두세요 (put an end-of-text token first)",
        )
    return [int(i) for i in context]
