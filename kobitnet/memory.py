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


def check_memory(architecture: Any, optimizer: str, parallel: str = "ddp") -> None:
    """Refuse a model whose weights, gradients and optimizer alone are more than the free memory (activations not counted).

    Under torchrun every process of this machine holds a copy (ddp), or all machines together one (fsdp).

    Raises:
        UserError: says how much is needed and how much there is.
    """
    here, all_over = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    copies = here / max(all_over, here) if parallel == "fsdp" else here
    needed = weight_count(architecture) * BYTES_PER_WEIGHT[optimizer] * copies
    free = available_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"메모리가 모자랍니다: 가중치와 최적화기만 {needed / 1e9:.1f} GB, 남은 것 {free / 1e9:.1f} GB "
            f"(not enough memory: {needed / 1e9:.1f} GB for weights and optimizer alone, {free / 1e9:.1f} GB free)",
            help="더 작은 --preset, 또는 여러 기계에서 torchrun … --parallel fsdp (a smaller preset, or shard it over machines)",
        )
