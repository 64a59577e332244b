"""Data parallel training by torchrun:

    torchrun --nproc-per-node 2 -m kobitnet train SHARDS -o run/ --threads 1 [--parallel fsdp]

Every process computes its share of each step's sequences. ddp: each holds the whole model and gradients are summed over
processes once a step, after all micro-batches. fsdp: each holds a part (`kobitnet.sharding`) and gradients are summed as
they are made. Losses are already divided by the terms of the whole step, so the result is that of one process up to
the order of additions. Process 0 alone owns the run folder; collective work (validation and saving of a sharded model)
is entered by all. gloo on the CPU, NCCL on CUDA.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import distributed as dist
from torch import nn

from kodata.run.errors import UserError

# gloo gives up after 30 minutes by default; process 0 alone may validate, write or score a reference for longer.
PATIENCE = timedelta(days=7)
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class World:
    """Which process this is, of how many. With one process every method is free."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    """What this process computes on."""
    told: list[bool] = field(default_factory=list, compare=False)
    """What `agree` said, once it was called."""

    def sums(self, values: list[float]) -> list[float]:
        """Each value summed over the processes, in float64."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def sum_gradients(self, model: nn.Module) -> None:
        """Sum every parameter's gradient over the processes; a process without one adds zeros."""
        if self.size == 1:
            return
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def agree(self, go: bool) -> bool:
        """Process 0 tells the others whether there is something to do."""
        if self.size > 1:
            answer = [go]
            dist.broadcast_object_list(answer, src=0)
            go = answer[0]
        self.told.append(go)
        return go


@contextmanager
def joined(device: torch.device = CPU) -> Iterator[World]:
    """The world torchrun set up in the environment; a world of one without it.

    What goes wrong before the processes agree is told by process 0 alone: the others wait for its word and leave
    quietly, or tell their own trouble when process 0 has none.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield World(device=device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # DTensor needs the backend of its device; plain objects and the CPU go by gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    world = World(dist.get_rank(), size, device)
    try:
        yield world
    except Exception as error:
        if world.told:
            raise
        if world.rank and isinstance(error, UserError) and not world.agree(False):
            raise SystemExit(0) from None
        if not world.rank:
            world.agree(False)
        raise
    finally:
        dist.destroy_process_group()
