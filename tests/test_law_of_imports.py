"""The law of imports: kodata <- kotok <- kobitnet; no torch in the first two; nothing heavy at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {"kodata": {"kodata"}, "kotok": {"kodata", "kotok"}, "kobitnet": {"kodata", "kotok", "kobitnet"}}
NO_TORCH = {"torch", "transformers", "accelerate", "trl"}
# The one door of each foreign library: library -> the modules that may import it.
DOORS = {
    "cyclopts": ("kodata/run/",),
    "datatrove": ("kodata/pipeline/",),
    "httpx2": ("kodata/synth/client",),
    "kiwipiepy": ("kodata/morphemes", "kotok/kiwi"),
    "lm_eval": ("kobitnet/evaluate/lm_eval_model",),
    "olefile": ("kodata/sources/hwp",),
    "py3langid": ("kodata/lang",),
    "ray": ("kodata/pipeline/cluster",),
    "resiliparse": ("kodata/sources/html",),
    "starlette": ("kobitnet/serve/",),
    "uvicorn": ("kobitnet/serve/",),
    "warcio": ("kodata/sources/warc",),
}


def imports_of(path: Path) -> list[tuple[str, int, bool]]:
    """(top-level name, line, at module level) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    inner = {n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.Lambda) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], node.lineno, node not in inner) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module.split(".")[0], node.lineno, node not in inner))
    return found


def files() -> list[Path]:
    return [p for package in ALLOWED for p in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_packages_import_only_leftwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    where = str(path.relative_to(ROOT))
    for name, line, _ in imports_of(path):
        if name in ALLOWED:
            assert name in ALLOWED[package], f"{where}:{line} imports {name}"
        if package != "kobitnet":
            assert name not in NO_TORCH, f"{where}:{line} imports {name}"
        if name in DOORS:
            assert where.startswith(DOORS[name]), f"{where}:{line} imports {name} outside its door"


@pytest.mark.parametrize("package", list(ALLOWED))
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    heavy = "torch transformers datatrove datasets pyarrow kiwipiepy sentencepiece tokenizers rich numpy resiliparse ray py3langid"
    code = f"import sys, {package}; print(*[m for m in {heavy.split()!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.split() == []


@pytest.mark.parametrize("package", list(ALLOWED))
def test_help_loads_nothing_heavy(package: str) -> None:
    heavy = "torch transformers datatrove datasets pyarrow kiwipiepy sentencepiece tokenizers numpy resiliparse ray py3langid"
    code = (
        f"import sys; from {package}.cli import tool; tool.run(['--help']);"
        f"print('LOADED', *[m for m in {heavy.split()!r} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip().splitlines()[-1] == "LOADED"
