"""How matrices are multiplied on the CPU.

fp32: by oneDNN in the place of MKL on AMD processors with AVX-512.

MKL takes its AVX2 kernels on every AMD processor: 105 GFLOP/s a core where oneDNN reaches 219 (Zen 5, torch 2.13, measured). torch has
no switch between the two, but its fp32 precision setting "bf16" hands products to oneDNN with the permission to multiply in
bf16, of which oneDNN makes use only on processors with AMX. No AMD processor has it, so what comes out is fp32 all the same, equal
to MKL's up to the order of additions; a probe makes sure of it.

int8: ternary codes with int8 activations as integers where the processor has VNNI: 980 GOP/s a core.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, frozenset[str]]:
    """(vendor, feature flags) of this processor as Linux names them; ("", none) where it does not say."""
    found: dict[str, str] = {}
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    return found.get("vendor_id", ""), frozenset(found.get("flags", "").split())


def multiply_by_onednn(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Have fp32 products done by oneDNN for the life of this process where that is faster; says whether it is so."""
    vendor, flags = processor(cpuinfo)
    if vendor != "AuthenticAMD" or "avx512f" not in flags or "amx_bf16" in flags:
        return False
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if matmul is None:  # torch before 2.9
        return False
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    if exact():
        return True
    matmul.fp32_precision = before
    return False


def exact() -> bool:
    """Whether fp32 products keep numbers that bf16 and tf32 would round."""
    number = 1 + 2.0**-12
    probe = torch.full((256, 256), number)
    return bool(((probe @ probe).float() / 256 - number**2).abs().max() < 1e-5)


@cache
def integers_are_fast() -> bool:
    """Whether int8 products are several times faster than fp32 ones here."""
    _, flags = processor()
    return bool({"avx512_vnni", "avx_vnni"} & flags) and torch.backends.mkldnn.is_available()


def product_dtype(x: Tensor) -> torch.dtype:
    """What products with x are computed in: the lower precision under autocast, else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
