"""recipes/score_validation.py at toy size: every part is recorded and found again."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "score_validation.py"


def recipe():
    spec = importlib.util.spec_from_file_location("score_validation", RECIPE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["score_validation"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_areas_and_runs_at_toy_size(real_data, tmp_path, monkeypatch, capsys):
    made = recipe()
    corpus = str(real_data / "corpus")
    monkeypatch.setattr(made, "PIECES", 27)
    assert made.main(["auc", corpus, "-o", str(tmp_path / "auc"), "--chars", "400000"]) == 0
    table = json.loads((tmp_path / "auc" / "auc.json").read_text())
    assert all(0 <= v <= 1 for row in table["by_bad"] + table["by_good"] for v in row[1:])
    quality = {row[0]: row[2] for row in table["by_bad"]}
    assert quality["spoiled: shuffled_syllables"] > 0.8 and quality["spoiled: menus"] > 0.8

    monkeypatch.setattr(made, "POOL", ("rust_book_rinthel", "nodejs_ko"))
    monkeypatch.setattr(made, "SEEDS", (0,))
    given = [
        "runs",
        corpus,
        "-o",
        str(tmp_path / "runs"),
        "--chars",
        "400000",
        "--tokens",
        "30000",
        "--vocab",
        "1024",
    ]
    assert made.main([*given, "--budget", "0"]) == 0  # prepared, and nothing begun
    assert not list((tmp_path / "runs" / "runs").glob("*.json"))
    monkeypatch.setattr(made, "CUTS", ("top", "bottom"))
    assert made.main(given) == 0
    found = [json.loads(p.read_text()) for p in sorted((tmp_path / "runs" / "runs").glob("*.json"))]
    assert [r["cut"] for r in found] == ["bottom", "top"] and all(0 < r["bits_per_byte"] < 8 for r in found)
    monkeypatch.setattr(made, "one", None)  # what is recorded is not run again
    assert made.main(given) == 0
    assert "| top | 1 |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        made.main(["nothing"])
