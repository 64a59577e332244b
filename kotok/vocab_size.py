"""Which vocabulary sizes there are: multiples of 64, from a smallest one to what the corpus can fill."""

from __future__ import annotations

from kodata.run.errors import UsageError, UserError

SMALLEST = 512


def check_vocab_size(size: int) -> None:
    """Raise UsageError for a size that is no multiple of 64, below `SMALLEST` or above a million."""
    if size % 64 or size < SMALLEST:
        near = max(SMALLEST, (size + 32) // 64 * 64)
        raise UsageError(
            f"--vocab-size 는 64의 배수이고 {SMALLEST} 이상입니다 (must be a multiple of 64): {size}",
            f"가장 가까운 값은 (the nearest is): --vocab-size {near}",
        )
    if size > 1_000_000:
        raise UsageError(f"--vocab-size 가 백만을 넘습니다 (over a million): {size}")


def too_large(wanted: int, largest: int) -> UserError:
    """The error for a corpus that cannot fill the vocabulary; largest 0: not even the smallest."""
    if largest < SMALLEST:
        return UserError(
            f"말뭉치가 너무 작습니다 (corpus too small for any vocabulary): --vocab-size {wanted}",
            "글을 더 주십시오 (give more text)",
        )
    return UserError(
        f"말뭉치에 비해 어휘가 너무 큽니다 (vocabulary too large for the corpus): {wanted}",
        f"이 말뭉치로 만들 수 있는 가장 큰 어휘 (the largest possible): --fresh --vocab-size {largest}",
    )
