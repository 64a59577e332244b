"""The native module, the instruction set and the number of threads."""

import os
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from kodata.run.errors import UsageError

_REBUILD = "pip install --no-binary kobitnet --force-reinstall kobitnet (컴파일러와 cmake 필요: needs a compiler and cmake)"


@cache
def native() -> ModuleType | None:
    """`kobitnet._native`, or None when it was not built; checks KOBITNET_ISA.

    Raises:
        UsageError: KOBITNET_ISA names an instruction set this CPU or build does not have.
    """
    wanted = os.environ.get("KOBITNET_ISA", "")
    if wanted == "python":
        return None
    module = load_native()
    if isinstance(module, str):
        return None
    if wanted and wanted not in module.isas():
        raise UsageError(
            f"이 CPU 에서 쓸 수 없는 KOBITNET_ISA (KOBITNET_ISA not available here): {wanted}",
            help=f"다음 중 하나 (one of): {', '.join(module.isas())}, python",
        )
    return module


def load_native() -> ModuleType | str:
    """The module, or why it is missing."""
    try:
        return import_module("kobitnet._native")
    except ImportError as error:
        return str(error)


@cache
def warn_slow() -> None:
    """Say once on stderr that the numpy path is in use."""
    why = (
        "KOBITNET_ISA=python"
        if os.environ.get("KOBITNET_ISA") == "python"
        else "네이티브 모듈 없음 (no native module)"
    )
    print(
        f"경고: 느린 numpy 경로로 계산합니다: {why} (slow numpy path; results are right). {_REBUILD}",
        file=sys.stderr,
    )


def physical_cores() -> int:
    """Physical cores this process may use: its CPU affinity, one thread a core, capped by the cgroup quota."""
    if not hasattr(os, "sched_getaffinity"):
        return max(1, os.cpu_count() or 1)
    cpus = os.sched_getaffinity(0)
    cores = {_core(cpu) for cpu in cpus}
    quota = _cgroup_quota()
    return max(1, min(len(cores), quota or len(cores)))


def _core(cpu: int) -> tuple[str, str]:
    topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    try:
        return (topology / "physical_package_id").read_text().strip(), (
            topology / "core_id"
        ).read_text().strip()
    except OSError:
        return "?", str(cpu)


def _cgroup_quota() -> int | None:
    """Whole CPUs of the cgroup's quota (version 2 file), None without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def set_threads(threads: int | None) -> int:
    """Set the engine's threads (None: physical cores); returns the number in use.

    Raises:
        UsageError: fewer than 1 or more than 1024.
    """
    count = physical_cores() if threads is None else threads
    if not 1 <= count <= 1024:
        raise UsageError(f"스레드 수는 1 에서 1024 사이 (threads must be 1 to 1024): {count}")
    module = native()
    if module is None:
        return 1
    module.set_threads(count)
    return count
