"""kobitnet info and bench."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kobitnet.bench import BenchConfig, bench
from kobitnet.info import info
from kodata.run.errors import UsageError
from tests.kobitnet.bitnet_models import make_model

ROOT = Path(__file__).resolve().parents[2]


def test_info_tells_what_is_there() -> None:
    result = info()
    assert result.summary["threads"] >= 1
    assert result.summary["isa"] in result.summary["isas"]
    assert set(result.summary["native"]) == {"kodata", "kotok", "kobitnet"}
    assert any("KOBITNET_ISA" in line for line in result.lines)


def test_info_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from kobitnet import info as module  # the function; its module is beside it

    monkeypatch.setitem(module.__globals__["LIBRARIES"], "no-such-library", "train")
    result = info()
    assert result.summary["missing"] == ["no-such-library"]
    assert any("kobitnet[train]" in line for line in result.lines)


def test_info_names_the_devices(tmp_path: Path) -> None:
    from kobitnet.info import _gpus

    assert info().summary["devices"][0] == "cpu"
    card = tmp_path / "0000:01:00.0" / "information"
    card.parent.mkdir()
    card.write_text("Model: \t\t Some Card 24GB\nIRQ: 33\n")
    assert _gpus(tmp_path) == ["CUDA Some Card 24GB"]
    assert _gpus(tmp_path / "none") == []


def test_info_imports_nothing_heavy() -> None:
    code = "import sys; from kobitnet.cli import tool; tool.run(['info', '--json']); print('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    first, last = done.stdout.strip().splitlines()
    assert json.loads(first)["isa"] and last == "False"


def test_an_unknown_isa_is_told(tmp_path: Path) -> None:
    import os

    done = subprocess.run(
        [sys.executable, "-m", "kobitnet", "info"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KOBITNET_ISA": "sse9"},
    )
    assert (
        done.returncode == 2
        and "sse9" in done.stderr
        and "도움" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_bench_measures_a_model(tmp_path: Path) -> None:
    result = bench(make_model(tmp_path / "m"), config=BenchConfig(prompt=20, decode=3, repeat=1))
    assert result.summary["prompt_tokens"] == 20
    assert result.summary["decode_tokens_per_second"] > 0
    assert any("GB/s" in line for line in result.lines)


def test_bench_refuses_nonsense() -> None:
    with pytest.raises(UsageError):
        BenchConfig(shape="huge")
    with pytest.raises(UsageError):
        BenchConfig(prompt=0)
