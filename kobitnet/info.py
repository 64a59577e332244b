"""kobitnet info: what is installed, what this CPU runs, what is missing and how to get it. Loads nothing heavy."""

import os
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kodata.report import blocks
from kodata.run.result import Result

# distribution -> the extra of this project that brings it ("" = always installed)
LIBRARIES = {
    "numpy": "", "datatrove": "", "tokenizers": "", "safetensors": "", "rich": "", "cyclopts": "",
    "torch": "train", "transformers": "train", "accelerate": "train", "gguf": "train", "kiwipiepy": "", "sentencepiece": "",
}  # fmt: skip


def info() -> Result:
    """설치 상태, 명령 집합, 스레드, 빠진 것을 보입니다 (installation, instruction set, threads, what is missing)

    Only metadata is read: torch and the other heavy libraries are not imported.
    """
    from kobitnet.engine import cpu

    natives = {package: _native(package) for package in ("kodata", "kotok", "kobitnet")}
    module = cpu.native()
    engine: dict[str, Any] = {
        "isa": "python" if module is None else module.isa(),
        "isas": ["python"] if module is None else [*module.isas(), "python"],
        "threads": cpu.physical_cores(),
        "compiler": None if module is None else module.compiler,
    }
    libraries = {name: _version(name) for name in LIBRARIES}
    missing = _missing(natives, libraries)
    devices = ["cpu", *_gpus()]
    lines = [
        f"kobitnet {_version('kobitnet') or '(설치되지 않은 소스, source tree)'} · Python {platform.python_version()} · {sys.platform} {platform.machine()}",
        f"CPU         {_cpu_name()} · 물리 코어 (physical cores) {engine['threads']}",
        f"장치        {' · '.join(devices)} (devices; 학습은 --device auto 가 고릅니다, training picks with --device auto)",
        f"명령 집합   {engine['isa']} (가능: {', '.join(engine['isas'])}; 고정: KOBITNET_ISA=…) (instruction set; available; force)",
        *(
            f"native      {package:9s} {'있음 (present)' if why is None else '없음 (missing): ' + why}"
            for package, why in natives.items()
        ),
        "라이브러리  " + " · ".join(f"{n} {v or '–'}" for n, v in libraries.items()) + " (libraries)",
        *(f"빠짐        {what} → {how} (missing → how to get it)" for what, how in missing),
    ]
    summary = {
        "version": _version("kobitnet"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "devices": devices,
        **engine,
        "native": {p: why is None for p, why in natives.items()},
        "libraries": libraries,
        "missing": [what for what, _ in missing],
    }
    facts = {"CPU": _cpu_name(), "명령 집합 (ISA)": engine["isa"], "스레드 (threads)": engine["threads"]}
    return Result(
        summary=summary,
        lines=lines,
        report=[
            blocks.facts("kobitnet", facts),
            blocks.table(
                "라이브러리 (libraries)",
                ["이름 (name)", "판 (version)"],
                [[n, v or "–"] for n, v in libraries.items()],
            ),
        ],
    )


def _native(package: str) -> str | None:
    """None when `package._native` loads, else why it does not."""
    try:
        import_module(f"{package}._native")
    except ImportError as error:
        folder = Path(import_module(package).__file__ or ".").parent
        built = sorted(p.name for p in folder.glob("_native*"))
        return f"{error}; {built}" if built else "설치할 때 컴파일되지 않음 (not built at install time)"
    return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _missing(natives: dict[str, str | None], libraries: dict[str, str | None]) -> list[tuple[str, str]]:
    found = [
        (name, f"pip install 'kobitnet[{LIBRARIES[name]}]'" if LIBRARIES[name] else f"pip install {name}")
        for name, have in libraries.items()
        if have is None
    ]
    broken = [package for package, why in natives.items() if why is not None]
    if broken:
        found.append(
            (
                f"native ({', '.join(broken)})",
                "g++ 와 cmake 를 설치하고 다시 설치 (install g++ and cmake, then: pip install --force-reinstall --no-deps .)",
            )
        )
    return found


def _gpus(drivers: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """CUDA devices as the driver names them; whether torch was built for them, and its numbering, is not asked."""
    found = []
    for file in sorted(drivers.glob("*/information")):
        try:
            named = [
                line.partition(":")[2].strip() for line in file.read_text().splitlines() if "Model" in line
            ]
        except OSError:
            continue
        found.append(f"CUDA {named[0] if named else file.parent.name}")
    return found


def _cpu_name() -> str:
    """The CPU's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or os.name
