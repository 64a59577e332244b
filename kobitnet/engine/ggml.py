"""ggml's layouts of ternary matrices and the names GGUF gives them, in numpy: what the exporter writes and the oracle of the
native reader. A matrix is (out, in); t is a weight in {-1, 0, 1}, its code t + 1.
"""

import struct

import numpy as np

F32, F16, Q8_0, BF16, TQ1_0, TQ2_0, I2_S = 0, 1, 8, 30, 34, 35, 36
TYPE_NAMES = {
    F32: "F32",
    F16: "F16",
    Q8_0: "Q8_0",
    BF16: "BF16",
    TQ1_0: "TQ1_0",
    TQ2_0: "TQ2_0",
    I2_S: "I2_S",
}
BLOCKS = {  # values a block, bytes a block
    F32: (1, 4),
    F16: (1, 2),
    BF16: (1, 2),
    Q8_0: (32, 34),
    TQ1_0: (256, 54),
    TQ2_0: (256, 66),
    I2_S: (128, 32),
}
BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "attn_sub_norm": "attn_sub_norm",
    "ffn_sub_norm": "ffn_sub_norm",
}
LINEAR_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def nbytes(shape: tuple[int, ...], kind: int) -> int:
    """Bytes of a tensor (shape (…, in), the row a multiple of the block)."""
    count = 1
    for n in shape:
        count *= n
    values, size = BLOCKS[kind]
    return count // values * size + (32 if kind == I2_S else 0)


def pack_tq2_0(codes: np.ndarray, scale: np.float32) -> bytes:
    """int8 (out, in) in {-1, 0, 1}, in a multiple of 256 -> blocks of 66 bytes: 64 of codes, fp16 scale.

    Weight e of a block: byte (e / 128) * 32 + e % 32, bits 2 * ((e % 128) / 32).
    """
    c = (codes + 1).astype(np.uint8).reshape(-1, 2, 4, 32)
    quants = (c[:, :, 0] | c[:, :, 1] << 2 | c[:, :, 2] << 4 | c[:, :, 3] << 6).reshape(-1, 64)
    return np.concatenate([quants, _halves(len(quants), scale)], axis=1).tobytes()


def unpack_tq2_0(raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 bytes of TQ2_0 -> int8 values (out, in)."""
    blocks = raw.reshape(-1, 66)
    e = np.arange(256)
    codes = (blocks[:, (e // 128) * 32 + e % 32] >> (2 * ((e % 128) // 32)).astype(np.uint8)) & 3
    return (codes.astype(np.int8) - 1).reshape(shape)


# where the five (or four) base-3 digits of each byte of a TQ1_0 block stand: weight index of byte, digit
_TQ1_BYTES = [[m + 32 * n for n in range(5)] for m in range(32)]
_TQ1_BYTES += [[160 + m + 16 * n for n in range(5)] for m in range(16)]
_TQ1_TAIL = [[240 + j + 4 * n for n in range(4)] for j in range(4)]


def pack_tq1_0(codes: np.ndarray, scale: np.float32) -> bytes:
    """int8 (out, in), in a multiple of 256 -> blocks of 54 bytes: 52 of base-3 digits, fp16 scale.

    A byte holds ceil(v * 256 / 243), v the number of five digits, the first the most significant (qh: four and a 0).
    """
    c = (codes + 1).astype(np.uint16).reshape(-1, 256)
    power = np.array([81, 27, 9, 3, 1], np.uint16)
    low = (c[:, np.array(_TQ1_BYTES)] * power).sum(axis=2, dtype=np.uint16)
    high = (c[:, np.array(_TQ1_TAIL)] * power[:4]).sum(axis=2, dtype=np.uint16)
    v = np.concatenate([low, high], axis=1).astype(np.uint32)
    quants = ((v * 256 + 242) // 243).astype(np.uint8)
    return np.concatenate([quants, _halves(len(quants), scale)], axis=1).tobytes()


def unpack_tq1_0(raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 bytes of TQ1_0 -> int8 values (out, in). Digit n of a byte b: 3 * ((b * 3^n) mod 256) / 256."""
    blocks = raw.reshape(-1, 54)
    codes = np.empty((len(blocks), 256), np.uint8)
    power = np.array([1, 3, 9, 27, 81], np.uint8)
    digits = ((blocks[:, :52, None] * power).astype(np.uint16) * 3 >> 8).astype(np.uint8)
    codes[:, np.array(_TQ1_BYTES)] = digits[:, :48]
    codes[:, np.array(_TQ1_TAIL)] = digits[:, 48:, :4]
    return (codes.astype(np.int8) - 1).reshape(shape)


def pack_i2_s(codes: np.ndarray, scale: np.float32) -> bytes:
    """int8 (out, in), in a multiple of 128 -> all codes, then 32 bytes that start with one fp32 scale.

    Weight e of each 128: byte e % 32, bits 6 - 2 * (e / 32).
    """
    c = (codes + 1).astype(np.uint8).reshape(-1, 4, 32)
    quants = c[:, 0] << 6 | c[:, 1] << 4 | c[:, 2] << 2 | c[:, 3]
    return quants.tobytes() + struct.pack("<f", scale) + bytes(28)


def unpack_i2_s(raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 bytes of I2_S -> int8 values (out, in); code 3, which nobody writes, becomes 2."""
    e = np.arange(128)
    groups = raw[:-32].reshape(-1, 32)
    codes = (groups[:, e % 32] >> (6 - 2 * (e // 32)).astype(np.uint8)) & 3
    return (codes.astype(np.int8) - 1).reshape(shape)


UNPACK = {TQ1_0: unpack_tq1_0, TQ2_0: unpack_tq2_0, I2_S: unpack_i2_s}
PACK = {TQ1_0: pack_tq1_0, TQ2_0: pack_tq2_0, I2_S: pack_i2_s}


def scale_of(raw: np.ndarray, kind: int) -> np.float32:
    """The one scale of a packed matrix (its blocks' fp16, or I2_S's fp32).

    A block of scale 0 must hold zeros only. Raises ValueError for several scales, or one that is not positive and finite.
    """
    if kind == I2_S:
        scale = np.float32(raw[-32:-28].copy().view("<f4")[0])
    else:
        size = BLOCKS[kind][1]
        blocks = raw.reshape(-1, size)
        halves = np.ascontiguousarray(blocks[:, size - 2 :]).view("<f2")[:, 0]
        empty = halves == 0
        if empty.any():
            nothing = np.frombuffer(PACK[kind](np.zeros((1, 256), np.int8), np.float32(0)), np.uint8)
            if (blocks[empty, : size - 2] != nothing[: size - 2]).any():
                raise ValueError("a block of scale 0 with weights")
            halves = halves[~empty]
        if not len(halves):
            return np.float32(1)
        if (halves != halves[0]).any():  # a NaN too is unequal
            raise ValueError("several scales in one matrix")
        scale = np.float32(halves[0])
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale {scale}")
    return scale


def ternary_of_floats(values: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """(int8 values, scale) of a float32 matrix that holds -s, 0 and s only. Raises ValueError for any other."""
    size = np.abs(values)
    scale = np.float32(size.max())
    if not np.isfinite(scale) or ((size != 0) & (size != scale)).any():
        raise ValueError("more than the three values -s, 0, s: not a ternary matrix")
    return np.sign(values).astype(np.int8), scale if scale > 0 else np.float32(1)


def q8_0_floats(raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 bytes of Q8_0 (fp16 scale, 32 int8) -> float32."""
    blocks = raw.reshape(-1, 34)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    return (blocks[:, 2:].view(np.int8) * scales).reshape(shape)


def _halves(count: int, scale: np.float32) -> np.ndarray:
    return np.full((count, 1), scale, "<f2").view(np.uint8)
