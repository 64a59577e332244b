"""The whole road on made text: every stage runs, resumes after kill -9 and Ctrl-C, and ends with the same bytes."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.made_korean import chats, documents, write_jsonl

ROOT = Path(__file__).resolve().parents[1]
TRAIN = "--batch-size 4 --seq-len 160 --lr 2e-3"
# {w}: the work folder. Each line is one stage; the word before -o's value decides where its output is.
STAGES = [
    "kodata clean {w}/raw.jsonl -o {w}/clean --workers 2",
    "kodata dedup {w}/clean -o {w}/docs",
    "kotok train {w}/docs -o {w}/tok --vocab-size 512 --val 0.05",
    "kotok encode {w}/docs --tok {w}/tok -o {w}/shards --val 0.05",
    "kobitnet train {w}/shards -o {w}/pretrain --preset tiny --steps 30 --save-every 5 " + TRAIN,
    "kodata sft {w}/qa.jsonl -o {w}/chat.jsonl",
    "kotok encode {w}/chat.jsonl --tok {w}/tok -o {w}/chat-shards --val 0.05",
    "kobitnet sft {w}/chat-shards --from {w}/pretrain -o {w}/sft --steps 12 --save-every 3 " + TRAIN,
    "kobitnet generate {w}/sft --prompts {w}/chat.jsonl --greedy -n 24 --max-new-tokens 12 -o {w}/answers.jsonl",
    "kodata dpo {w}/chat.jsonl --rejected {w}/answers.jsonl -o {w}/pairs.jsonl",
    "kotok encode {w}/pairs.jsonl --tok {w}/tok -o {w}/pair-shards --val 0.05",
    "kobitnet dpo {w}/pair-shards --from {w}/sft -o {w}/dpo --steps 8 --save-every 2 --batch-size 4 --seq-len 160 --lr 5e-5",
    "kobitnet eval {w}/dpo --on {w}/shards -o {w}/eval --backend torch",
    "kodata report {w} -o {w}/report.html",
]


def command(stage: str, work: Path) -> list[str]:
    tool, *rest = stage.format(w=work).split()
    return [sys.executable, "-m", tool, *rest]


def output_of(stage: str, work: Path) -> Path:
    words = stage.format(w=work).split()
    return Path(words[words.index("-o") + 1])


def run(stage: str, work: Path) -> subprocess.CompletedProcess:
    done = subprocess.run(command(stage, work), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{stage}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def prepare(work: Path) -> Path:
    write_jsonl(work / "raw.jsonl", documents(260))
    write_jsonl(work / "qa.jsonl", chats(80))
    return work


# What may differ between two runs of one command: clocks, machine load, names of the work folder.
NOT_CONTENT = ("manifest.json", "stats.json", "report.html", ".lock", "progress", "log", "plan.json")


def digest(path: Path) -> dict[str, str]:
    """Content digests of an output: a file, or the files of a run folder that carry results."""
    if path.is_file():
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    keep = [
        p
        for p in sorted(path.rglob("*"))
        if p.is_file()
        and not any(word in part for part in p.relative_to(path).parts for word in NOT_CONTENT)
        and p.suffix
        in (".zst", ".jsonl", ".ds", ".index", ".loss", ".safetensors", ".json", ".txt", ".model")
        and "checkpoints" not in p.parts
    ]
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in keep}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = prepare(tmp_path_factory.mktemp("undisturbed"))
    for stage in STAGES:
        run(stage, work)
    return work


@pytest.mark.slow
def test_the_road_ends_with_four_lines_and_a_report(undisturbed: Path) -> None:
    (undisturbed / "report.html").unlink()
    lines = run(
        STAGES[-1] + " --fresh" if "--fresh" in STAGES[-1] else STAGES[-1], undisturbed
    ).stdout.splitlines()
    assert 4 <= len(lines) <= 5
    page = (undisturbed / "report.html").read_text(encoding="utf-8")
    assert "made" in page and len(page.encode()) < 1_000_000


@pytest.mark.slow
def test_training_learns(undisturbed: Path) -> None:
    facts = {
        s: json.loads((undisturbed / s / "stats.json").read_text())["summary"]
        for s in ("pretrain", "sft", "dpo", "eval")
    }
    assert facts["eval"]["perplexity"] < 0.8 * facts["eval"]["untrained_perplexity"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill-9", "ctrl-c"])
def test_interrupted_stages_end_with_the_same_bytes(
    undisturbed: Path, tmp_path: Path, how: signal.Signals
) -> None:
    work = prepare(tmp_path)
    rng = random.Random(int(how))
    for stage in STAGES[:-1]:
        hit = 0
        for _ in range(2):
            child = subprocess.Popen(
                command(stage, work),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,
            )
            time.sleep(rng.uniform(0.4, 5.0))
            if child.poll() is None:
                hit += 1
                if how == signal.SIGKILL:
                    os.killpg(child.pid, how)
                else:
                    os.killpg(child.pid, how)  # as a terminal does: every process of the group
            _, err = child.communicate()
            assert b"Traceback" not in err, err.decode()[-3000:]
        run(stage, work)
        assert digest(output_of(stage, work)) == digest(output_of(stage, undisturbed)), stage
