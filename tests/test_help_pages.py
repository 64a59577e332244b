"""Help pages are golden files: a changed flag shows up in review. Renew them with ``UPDATE_GOLDEN=1 pytest tests/test_help_pages.py``."""

import importlib
import os
import typing
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

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


def dataclasses_in(hint: Any) -> set[type]:
    """The dataclasses an annotation names, however deep."""
    if isinstance(hint, type) and is_dataclass(hint):
        return {hint}
    return {found for inner in typing.get_args(hint) for found in dataclasses_in(inner)}


@pytest.mark.parametrize(("name", "verb"), [page for page in pages() if page[1]])
def test_the_types_of_every_setting_can_be_read(name: str, verb: str) -> None:
    """The command line asks for them when a recipe is given; those of an inherited field are looked up in the heir's module."""
    call = importlib.import_module(f"{name}.cli").tool.app[verb].default_command
    for hint in typing.get_type_hints(call, include_extras=True).values():
        for config in dataclasses_in(hint):
            typing.get_type_hints(config.__init__)


def test_habits_of_other_toolkits_lead_to_flags_that_exist() -> None:
    from kodata.run.usage import HABITS

    pages_text = "".join(p.read_text(encoding="utf-8") for p in GOLDEN.glob("*.txt"))
    for theirs, ours in HABITS.items():
        for word in ours.split():
            if word.startswith("-") and word != "-":
                assert word in pages_text, f"{theirs} -> {word}: no verb has this flag"
