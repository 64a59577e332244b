"""The one door to the native core: `core()` gives the compiled module, or None where no compiler was there."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def core() -> ModuleType | None:
    """`kodata._native`, or None; the first None is said on stderr, because the Python paths are slow."""
    try:
        return import_module("kodata._native")
    except ImportError:
        from kodata.run.progress import note

        note(
            "참고: 네이티브 코어가 없어 파이썬으로 계산합니다, 수십 배 느립니다 "
            "(no native core: plain Python, tens of times slower; reinstall with a C++ compiler)"
        )
        return None


def facts() -> dict[str, str]:
    """What `info` shows: whether the core is there and which instruction set it uses."""
    native = core()
    return {"native": "no"} if native is None else {"native": "yes", "isa": native.isa()}
