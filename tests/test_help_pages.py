"""Help pages are golden files: a changed flag shows up in review. Renew them with ``UPDATE_GOLDEN=1 pytest tests/test_help_pages.py``."""

import importlib
import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden" / "help"
TOOLS = ("kodata", "kotok", "kobitnet")


def pages() -> list[tuple[str, str]]:
    return [
        (name, verb) for name in TOOLS for verb in ["", *importlib.import_module(f"{name}.cli").tool.verbs]
    ]


@pytest.mark.parametrize(("name", "verb"), pages())
def test_help_page(
    name: str, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    tool = importlib.import_module(f"{name}.cli").tool
    assert tool.run([verb, "--help"] if verb else ["--help"]) == 0
    page = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"
    golden = GOLDEN / f"{name}{'-' if verb else ''}{verb}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(page, encoding="utf-8")
    assert page == golden.read_text(encoding="utf-8"), f"help of `{name} {verb}` changed: renew {golden.name}"
    assert any("가" <= c <= "힣" for c in page), "Korean first"


def test_habits_of_other_toolkits_lead_to_flags_that_exist() -> None:
    from kodata.run.usage import HABITS

    pages_text = "".join(p.read_text(encoding="utf-8") for p in GOLDEN.glob("*.txt"))
    for theirs, ours in HABITS.items():
        for word in ours.split():
            if word.startswith("-") and word != "-":
                assert word in pages_text, f"{theirs} -> {word}: no verb has this flag"
