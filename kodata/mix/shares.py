"""How much of each group is taken, and which of its documents how often."""

from hashlib import blake2b

import numpy as np

from kodata.mix.config import MixConfig
from kodata.mix.pool import Pool
from kodata.run.errors import UserError


def shares(pool: Pool, config: MixConfig) -> tuple[dict[str, float], float]:
    """({group: characters to take}, characters in all).

    Raises:
        UserError: weights and groups that do not match; a share that `repeat` passes cannot fill.
    """
    present = pool.group >= 0
    sizes = pool.chars * pool.times
    have = {name: float(sizes[present & (pool.group == i)].sum()) for i, name in enumerate(pool.groups)}
    weights = config.weights or dict(have)
    odd = sorted(set(weights) - set(have)), sorted(set(have) - set(weights))
    if any(odd):
        raise UserError(
            f"몫과 묶음이 맞지 않습니다 (weights and groups differ): 없는 묶음 (unknown) {odd[0]}, 몫 없는 묶음 (without weight) {odd[1]}",
            help=f"묶음 (groups): {', '.join(sorted(have))}; 빼려면 0 (0 leaves a group out)",
        )
    whole = sum(weights.values())
    weights = {name: w / whole for name, w in weights.items()}
    most = min((have[n] * config.repeat / w for n, w in weights.items() if w), default=0.0)
    total = config.chars or most
    if total > most * (1 + 1e-9):
        short = min((n for n, w in weights.items() if w), key=lambda n: have[n] / weights[n])
        needed = total * weights[short] / max(have[short], 1.0)
        raise UserError(
            f"'{short}' 가 모자랍니다: {total * weights[short]:,.0f}자 필요, {have[short]:,.0f}자 있음 × --repeat {config.repeat:g} "
            "(this group is too small for its share)",
            help=f"--chars {int(most)} 이하로 하거나 --repeat {needed:.2f} 이상으로 (fewer characters, or more passes)",
        )
    return {name: total * w for name, w in weights.items()}, total


def choose(pool: Pool, quota: dict[str, float], seed: int) -> list[int]:
    """How often each document is taken: whole passes first, then in hash order until the group has its share.

    The document that would cross the share is left out if that is nearer to it.
    """
    taken = np.zeros(len(pool.ids), np.int64)
    for index, name in enumerate(pool.groups):
        members = np.flatnonzero(pool.group == index)
        size = int((pool.chars[members] * pool.times[members]).sum())
        if not size:
            continue
        passes = int(quota[name] / size + 1e-9)
        taken[members] = pool.times[members] * passes
        left = quota[name] - passes * size
        copies = [(hashed(seed, f"{pool.ids[m]}#{c}"), m) for m in members for c in range(pool.times[m])]
        for _, member in sorted(copies):
            if pool.chars[member] > 2 * left:
                continue
            taken[member] += 1
            left -= int(pool.chars[member])
            if left <= 0:
                break
    return taken.tolist()


def hashed(seed: int, word: str) -> int:
    """A 64-bit number from seed and word."""
    return int.from_bytes(
        blake2b(f"{seed}\0{word}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )
