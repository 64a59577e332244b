"""Memory of training: an estimate before anything is built, and an allocator that keeps what it was given.

Make glibc keep the memory it was given: on the CPU a training step otherwise spends up to half its time in page faults.

Every step allocates and frees the same large blocks. By default glibc maps each from the kernel and gives it back, so
that every page is faulted in and zeroed again. The same three settings as MALLOC_MMAP_MAX_=0, MALLOC_TRIM_THRESHOLD_ and
MALLOC_ARENA_MAX=1 in the environment, but set by mallopt(3), so nothing has to be known before the process starts.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from kobitnet.config import LoopConfig
from kodata.run.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # <malloc.h>


def keep_memory() -> bool:
    """Ask the allocator to keep freed memory for the life of this process; False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    # -1 switches trimming off; no block comes from mmap, so all of it is reused; one arena, so threads share it.
    return all((mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_ARENA_MAX, 1)))


BYTES_PER_WEIGHT = {"adamw": 20, "muon": 16}
"""fp32 latent, gradient and quantised copy, and two moments (Muon: one)."""


def available_bytes() -> int | None:
    """Memory the system can give to this process without swapping, None where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as handle:
            for line in handle:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def weight_count(architecture: Any) -> int:
    """Parameters of a BitNetConfig without building it."""
    hidden, layers = architecture.hidden_size, architecture.num_hidden_layers
    kv = hidden // architecture.num_attention_heads * architecture.num_key_value_heads
    layer = 2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * architecture.intermediate_size
    norms = 3 * hidden + architecture.intermediate_size
    embeddings = architecture.vocab_size * hidden * (1 if architecture.tie_word_embeddings else 2)
    return embeddings + layers * (layer + norms) + hidden


def activation_bytes(architecture: Any, tokens: int, *, recompute: bool = False, low: bool = False) -> int:
    """What the layers keep for backward of so many tokens at once, at least: the two residual streams and, in fp32 or with
    `low` bf16, q, k, v, attention output, gate and up; one byte for each int8 code. `recompute` keeps one stream a layer, and all
    of one layer."""
    hidden, inner = architecture.hidden_size, architecture.intermediate_size
    kv = hidden // architecture.num_attention_heads * architecture.num_key_value_heads
    layer = 8 * hidden + (2 if low else 4) * (2 * hidden + 2 * kv + 2 * inner) + 3 * hidden + inner
    layers = architecture.num_hidden_layers
    return tokens * (4 * hidden * layers + layer if recompute else layer * layers)


def check_memory(architecture: Any, config: LoopConfig, tokens: int = 0) -> None:
    """Refuse a model that cannot be trained in the free memory: weights, gradients and optimizer, and what the layers keep of a
    micro-batch of `tokens` (0: not counted). The head's block and temporary tensors come on top.

    Under torchrun every process of this machine holds a copy (ddp), or all machines together one (fsdp).

    Raises:
        UserError: says how much is needed and how much there is.
    """
    here, all_over = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    copies = here / max(all_over, here) if config.parallel == "fsdp" else here
    weights = weight_count(architecture) * BYTES_PER_WEIGHT[config.optim.name or "adamw"] * copies
    low = config.precision == "bf16"
    kept = here * activation_bytes(architecture, tokens, recompute=config.recompute, low=low)
    free = available_bytes()
    if free is None or weights + kept <= free:
        return
    told = f"{(weights + kept) / 1e9:.1f} GB"
    help = "더 작은 --preset, 또는 여러 기계에서 torchrun … --parallel fsdp (a smaller preset, or shard it over machines)"
    if weights <= free:
        help = "--accumulate 를 늘리거나 --recompute (more --accumulate, or --recompute)"
    raise UserError(
        f"메모리가 모자랍니다: 적어도 {told}, 남은 것 {free / 1e9:.1f} GB (not enough memory: at least {told} needed, "
        f"{weights / 1e9:.1f} of it for weights and optimizer, {free / 1e9:.1f} GB free)",
        help=help,
    )
