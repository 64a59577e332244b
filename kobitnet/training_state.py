"""Training states on disk.

    run/checkpoints/step-00000200/ model.safetensors  optimizer.safetensors  state.json (step, curves, digests of the files)
                                   under FSDP shards/*.safetensors (weights and optimizer) instead of optimizer.safetensors

run/model/model.safetensors is a hard link to the newest checkpoint's file where links work. Nothing here reads pickle.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from kobitnet.checkpoint import (
    WEIGHTS,
    digest,
    load_weights,
    place_weights,
    read_tensors,
    state_tensors,
    write_tensors,
)
from kobitnet.model import Model
from kobitnet.sharding import fill, is_sharded, load_shards, save_shards, saved_sizes, whole_on_first
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, disk_error, read_json_object

OPTIMIZER = "optimizer.safetensors"
SHARDS = "shards"
STATE = "state.json"


def save_checkpoint(
    run: Path, step: int, model: Model, optimizer: torch.optim.Optimizer, state: dict[str, Any], *, keep: int
) -> Path:
    """Write checkpoints/step-N (whole or not at all), make it the latest model, remove all but the `keep` newest: of
    later steps there can only be damaged ones, which `load_checkpoint` passed over.

    `state` is JSON: what the loop needs besides weights and optimizer. A kill between any two of these steps leaves a
    run that resumes. A sharded model is saved by all processes together, any other by the one that calls.
    """
    folder = run / "checkpoints" / f"step-{step:08d}"
    temporary = folder.with_name(f".{folder.name}.tmp")
    sharded = is_sharded(model)
    first = not sharded or dist.get_rank() == 0
    weights, rest = state_tensors(model), _optimizer_tensors(model, optimizer)
    try:
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        if sharded:
            dist.barrier()
            save_shards(temporary / SHARDS, {**weights, **rest})
            weights = whole_on_first(weights)
            dist.barrier()
            if not first:
                return folder
        files = {WEIGHTS: write_tensors(temporary / WEIGHTS, weights)}
        if sharded:
            files |= {f"{SHARDS}/{p.name}": digest(p) for p in sorted((temporary / SHARDS).iterdir())}
        else:
            files[OPTIMIZER] = write_tensors(temporary / OPTIMIZER, rest)
        atomic_json(temporary / STATE, {"step": step, "files": files, **state})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
    place_weights(folder / WEIGHTS, run / "model")
    written = checkpoints(run)
    here = written.index(folder) + 1
    for old in [*written[: max(0, here - keep)], *written[here:]]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    return sorted(p for p in (run / "checkpoints").glob("step-*") if re.fullmatch(r"step-\d{8,}", p.name))


def load_checkpoint(
    run: Path, model: Model, optimizer: torch.optim.Optimizer, *, repair: bool = True
) -> dict[str, Any] | None:
    """Put the newest whole checkpoint into model and optimizer and return its state; None when there is none.

    `repair` makes it the run's model/ too, which a kill between two renames may have left one interval behind.

    A damaged one is passed over, with a note on stderr, for the one before it.

    Raises:
        UserError: there are checkpoints and none is whole.
    """
    from kodata.run.progress import note

    folders, newest = checkpoints(run), ""
    for folder in reversed(folders):
        try:
            state = read_json_object(folder / STATE)
            for name, expected in state["files"].items():
                if digest(folder / name) != expected:
                    raise UserError(f"체크포인트 파일이 바뀌었습니다 (digest differs): {folder / name}")
            load_weights(model, folder / WEIGHTS)
            if OPTIMIZER in state["files"]:
                _load_optimizer(model, optimizer, read_tensors(folder / OPTIMIZER))
            else:
                _load_sharded_optimizer(model, optimizer, folder / SHARDS)
        except (UserError, OSError, KeyError, TypeError) as error:
            note(f"망가진 체크포인트를 건너뜁니다 (skipping a damaged checkpoint): {folder.name}: {error}")
            newest = newest or f"{folder.name}: {error}"
            continue
        if repair:
            place_weights(folder / WEIGHTS, run / "model")
        return state
    if folders:
        raise UserError(
            f"온전한 체크포인트가 없습니다 (no whole checkpoint left): {run / 'checkpoints'}; {newest}",
            help="--fresh 로 처음부터 다시 하세요 (start again with --fresh)",
        )
    return None


def _optimizer_tensors(model: Model, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {"rng": torch.get_rng_state()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}:{name}"] = value
    return tensors


def _load_optimizer(model: Model, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    torch.set_rng_state(tensors.pop("rng"))
    parameters = dict(model.named_parameters())
    for full, value in tensors.items():
        key, name = full.split(":", 1)
        fill(_slot(optimizer, parameters[name], key, value.shape), value)


def _slot(optimizer: torch.optim.Optimizer, parameter: Tensor, key: str, shape: torch.Size) -> Tensor:
    """Room for an optimizer tensor: one like its parameter (sharded when that is), or a single number."""
    fresh = (
        torch.zeros_like(parameter, dtype=torch.float32) if shape == parameter.shape else torch.zeros(shape)
    )
    if not shape and parameter.device.type == "cuda":  # fused AdamW counts its steps on the device
        fresh = fresh.to(parameter.device)
    optimizer.state[parameter][key] = fresh
    return fresh


def _load_sharded_optimizer(model: Model, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    parameters = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    for full, shape in saved_sizes(folder).items():
        if full == "rng":
            tensors[full] = torch.get_rng_state()
        elif ":" in full:
            key, name = full.split(":", 1)
            tensors[full] = _slot(optimizer, parameters[name], key, shape)
    load_shards(folder, tensors)
    torch.set_rng_state(tensors["rng"])
