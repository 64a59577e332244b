"""Two real gloo processes against one: FSDP2 shards, resharding on resume, exact tensor parallelism with groups."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from safetensors.torch import load_file

from . import toy

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
import sys
sys.path.insert(0, {root!r})
from torch.distributed.tensor import DTensor
from tests.kobitnet import toy
from kobitnet import loop, model as sizes
from kobitnet.train import TrainConfig, train

sizes.PRESETS["tiny"] = toy.SMALL
step = loop.train_step
def watched(job, optimizer, cache, number, world, **more):
    if number == {stop}:
        raise KeyboardInterrupt
    weights = job.model.model.layers[0].mlp.up_proj.weight
    assert isinstance(weights, DTensor) == (world.size > 1 and job.config.parallel == "fsdp")
    if isinstance(weights, DTensor):
        assert weights.to_local().shape[0] * world.size == weights.shape[0]
    return step(job, optimizer, cache, number, world, **more)
loop.train_step = watched
try:
    train({shards!r}, output={run!r}, config=TrainConfig(steps=6, batch_size=8, seq_len=32, eval_every=3, log_every=1,
          threads=1, accumulate=2, save_every=4, lr=1e-4, parallel={parallel!r}, **{more!r}))
except KeyboardInterrupt:
    assert {stop}
"""

TENSOR = """
import sys
sys.path.insert(0, {root!r})
import torch
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from kobitnet.model import Preset, build_model, hidden_states, model_config
from kobitnet.sharding import tensor_parallel, whole

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
preset = Preset(hidden=64, intermediate=128, layers=2, heads=4, kv_heads=2, lr=1, lr2=1)
one, two = (build_model(model_config(preset, vocab_size=320), "group", groups=4, seed=1) for _ in range(2))
tensor_parallel(two, init_device_mesh("cpu", (2,)))
assert isinstance(two.model.layers[0].mlp.up_proj.weight, DTensor)
assert two.model.layers[0].mlp.up_proj.weight.to_local().shape == (64, 64)
draw = torch.Generator().manual_seed(0)
ids = torch.randint(0, 320, (2, 16), generator=draw)
ours, theirs = hidden_states(one, ids), hidden_states(two, ids)
torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
upstream = torch.randn(ours.shape, generator=draw)
(ours * upstream).sum().backward()
(theirs * upstream).sum().backward()
for (name, a), (_, b) in zip(one.named_parameters(), two.named_parameters(), strict=True):
    if a.grad is None:
        continue
    got = whole(b.grad)
    expected = a.grad if got.shape == a.grad.shape else a.grad.chunk(2)[rank]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(a.grad.abs().max()), msg=name)
dist.destroy_process_group()
"""


def run(code, size, **values):
    code = textwrap.dedent(code).format(root=str(ROOT), **values)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        env |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
        command = [sys.executable, "-c", code]
        processes.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err


def train(shards, folder, size, parallel="fsdp", stop=0, **more):
    values = {"shards": str(shards), "run": str(folder), "parallel": parallel, "stop": stop or None}
    run(TRAIN, size, more=more, **values)
    return folder


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def distance(a, b):
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return toy.text_shards(tmp_path_factory.mktemp("sharding") / "shards")


@pytest.mark.slow
def test_shards_are_one_process(shards, tmp_path):
    one = train(shards, tmp_path / "one", 1)
    two = train(shards, tmp_path / "two", 2)
    assert distance(weights(one), weights(two)) < 1e-6
    first = load_file(sorted((one / "checkpoints").iterdir())[0] / "model.safetensors")
    assert distance(weights(one), first) > 1e-5  # training moves weights by much more than that
    a, b = (json.loads((f / "stats.json").read_text())["summary"] for f in (one, two))
    for x, y in zip(a["curve"], b["curve"], strict=True):
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-6)
        assert y["grad_norm"] == pytest.approx(x["grad_norm"], rel=1e-5)
    assert b["val_loss"] == pytest.approx(a["val_loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_resume_with_another_number_of_processes(shards, tmp_path, optimizer):
    from kobitnet.config import OptimConfig

    more = {"optim": OptimConfig(name=optimizer)}
    code = "import dataclasses\nfrom kobitnet.config import OptimConfig\n"
    assert repr(more["optim"]).startswith("OptimConfig(")

    def go(folder, size, stop=0):
        values = {"shards": str(shards), "run": str(folder), "parallel": "fsdp", "stop": stop or None}
        run(code + TRAIN, size, more=more, **values)
        return folder

    whole = weights(go(tmp_path / "whole", 1))
    go(tmp_path / "down", 2, stop=4)
    assert list((tmp_path / "down" / "checkpoints").glob("*4/shards/*.safetensors"))
    assert distance(whole, weights(go(tmp_path / "down", 1))) < 1e-6
    go(tmp_path / "up", 1, stop=4)
    assert distance(whole, weights(go(tmp_path / "up", 2))) < 1e-6


@pytest.mark.slow
def test_tensor_parallel_with_groups_is_exact():
    run(TENSOR, 2)
