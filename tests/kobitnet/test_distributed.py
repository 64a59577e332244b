"""Two real gloo processes against one: the same curve and the same weights, but for the order of additions."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from safetensors.torch import load_file

from kobitnet.distributed import World
from kobitnet.stage import check_world
from kobitnet.train import TrainConfig
from kodata.run.errors import UsageError

from . import toy

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
sys.path.insert(0, {root!r})
from tests.kobitnet import toy
from kobitnet import model as sizes
from kobitnet.train import TrainConfig, train
sizes.PRESETS["tiny"] = toy.SMALL
train({shards!r}, output={run!r}, config=TrainConfig(steps=6, batch_size=8, seq_len=32, eval_every=0, log_every=1,
      threads=1, accumulate=2, save_every=4))
"""


def launch(shards, run, size):
    code = textwrap.dedent(CODE).format(root=str(ROOT), shards=str(shards), run=str(run))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        env = {
            **os.environ,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "WORLD_SIZE": str(size),
        }
        processes.append(
            subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE, text=True)
        )
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    shards = toy.text_shards(tmp_path / "shards")
    launch(shards, tmp_path / "one", 1)
    launch(shards, tmp_path / "two", 2)
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    # Adam divides by the gradient's own size, so where that is next to nothing the order of additions shows.
    assert max(float((one[n] - two[n]).abs().max()) for n in one) < 2e-4
    curves = [
        json.loads((tmp_path / name / "stats.json").read_text())["summary"]["curve"]
        for name in ("one", "two")
    ]
    for a, b in zip(*curves, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-4)
    assert curves[1][0]["loss"] == pytest.approx(curves[0][0]["loss"], rel=1e-6)
    assert curves[1][0]["grad_norm"] == pytest.approx(curves[0][0]["grad_norm"], rel=1e-5)
    launch(shards, tmp_path / "two", 2)  # finished already: both go home


def test_batch_must_divide():
    check_world(TrainConfig(batch_size=8, accumulate=2), World(1, 4))
    with pytest.raises(UsageError, match="multiple") as error:
        check_world(TrainConfig(batch_size=8, accumulate=2), World(0, 3))
    assert error.value.help == "--batch-size 6"
