"""Every recipe of training: it parses and names only what the verbs know; slow: each runs at toy size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kobitnet import model as sizes
from kobitnet.cli import tool
from kodata.doc import Document, write_shard

from . import toy

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"pretrain": "train", "sft": "sft", "dpo": "dpo"}
RECIPES = sorted(p for folder in FOLDERS for p in (ROOT / "recipes" / folder).glob("*.yaml"))
TOY = ["--steps", "2", "--batch-size", "4", "--accumulate", "2", "--seq-len", "128", "--threads", "1", "-q"]


def verb(recipe: Path) -> str:
    return FOLDERS[recipe.parent.name]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    toy.text_shards(folder / "text")
    toy.text_shards(folder / "best", documents=40)
    toy.chat_shards(folder / "chat")
    toy.pair_shards(folder / "pair")
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name in ("tiny", "small"):
        monkeypatch.setitem(sizes.PRESETS, name, toy.SMALL)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_recipe_names_only_what_is_known(recipe, tmp_path, capsys):
    """Every key is accepted (exit 1 is about the shards that are not there), and a made-up one is not."""
    nothing = str(tmp_path / "nothing")
    command = [
        verb(recipe),
        nothing,
        "-o",
        str(tmp_path / "out"),
        *(["--from", nothing] * (verb(recipe) != "train")),
    ]
    assert tool.run([*command, "-c", str(recipe)]) == 1
    assert "nothing" in capsys.readouterr().err
    data = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    data["kobitnet"][verb(recipe)]["bacth_size"] = 3
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(data))
    assert tool.run([*command, "-c", str(wrong)]) == 2
    assert "bacth" in capsys.readouterr().err


def test_recipes_say_how_to_run_them():
    assert len(RECIPES) >= 12
    for recipe in RECIPES:
        head = recipe.read_text(encoding="utf-8").split("kobitnet:\n")[0]
        assert f"-c recipes/{recipe.parent.name}/{recipe.name}" in head
        assert all(
            line.startswith("#") or not line.strip() or "kodata:" in head for line in head.splitlines()
        )


def run(command: list[str]) -> None:
    assert tool.run(command) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", [r for r in RECIPES if verb(r) == "train" and r.stem != "fsdp"], ids=lambda p: p.stem
)
def test_pretraining_recipe_runs(recipe, inputs, tmp_path):
    command = ["train", str(inputs / "text"), "-o", str(tmp_path / "run"), "-c", str(recipe), *TOY]
    if "stage2:" in recipe.read_text(encoding="utf-8"):
        command += ["--stage2", str(inputs / "best")]
    run(command)
    curve = json.loads((tmp_path / "run" / "stats.json").read_text())["summary"]["curve"]
    assert [row["step"] for row in curve] == [1, 2]


@pytest.mark.slow
def test_fsdp_recipe_runs_on_two_processes(inputs, tmp_path):
    recipe = ROOT / "recipes" / "pretrain" / "fsdp.yaml"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = ["kobitnet", "train", str(inputs / "text"), "-o", str(tmp_path / "run"), "-c", str(recipe)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TORCHDYNAMO_DISABLE": "1"}
    more = ["--preset", "tiny", *TOY]
    done = subprocess.run([*launch, *command, *more], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints" / "step-00000002" / "shards").iterdir())


@pytest.mark.slow
def test_sft_and_dpo_recipes_run(inputs, tmp_path):
    base, tuned = tmp_path / "base", None
    b158 = ROOT / "recipes" / "pretrain" / "b1.58.yaml"
    run(["train", str(inputs / "text"), "-o", str(base), "-c", str(b158), *TOY])
    for recipe in (r for r in RECIPES if verb(r) == "sft"):
        tuned = tmp_path / f"sft-{recipe.stem}"
        run(["sft", str(inputs / "chat"), "--from", str(base), "-o", str(tuned), "-c", str(recipe), *TOY])
    for recipe in (r for r in RECIPES if verb(r) == "dpo"):
        out = tmp_path / f"dpo-{recipe.stem}"
        run(["dpo", str(inputs / "pair"), "--from", str(tuned), "-o", str(out), "-c", str(recipe), *TOY])
        # ln 2 at the start; less than it by the smoothing's own symmetry
        assert json.loads((out / "stats.json").read_text())["summary"]["loss_first"] == pytest.approx(
            0.693147, abs=1e-4
        )


@pytest.mark.slow
def test_the_mixture_of_the_two_stage_recipe(tmp_path):
    from kodata.cli import tool as kodata

    docs = tmp_path / "docs.jsonl.zst"
    with write_shard(docs) as shard:
        for i, text in enumerate(toy.SENTENCES * 4):
            kind = ("wiki", "law")[i % 2]
            shard.write(Document(id=str(i), text=text, source="toy", meta={"kind": kind}))
    recipe = ROOT / "recipes" / "pretrain" / "two-stage.yaml"
    assert kodata.run(["mix", str(docs), "-o", str(tmp_path / "best"), "-c", str(recipe), "-q"]) == 0
    stats = json.loads((tmp_path / "best" / "stats.json").read_text())
    assert stats
