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


def modules_of(path: Path, names: set[str]) -> set[str]:
    """Modules of ours that a file imports anywhere, also inside functions and for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {
                inner if (inner := f"{node.module}.{a.name}") in names else node.module for a in node.names
            }
    return found & names


def test_no_modules_import_each_other() -> None:
    """The graph of modules has no circle: whatever is left when leaves are taken off again and again is one."""
    by_name = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in files()
    }
    graph = {name: modules_of(path, set(by_name)) - {name} for name, path in by_name.items()}
    while leaves := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - leaves for name, needs in graph.items() if name not in leaves}
    # modules that only lead to a circle are taken off from the other end
    while free := set(graph) - {n for needs in graph.values() for n in needs}:
        graph = {name: needs for name, needs in graph.items() if name not in free}
    assert {name: sorted(needs) for name, needs in graph.items()} == {}
