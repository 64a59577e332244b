"""Sharded data parallelism: FSDP2 `fully_shard` over the decoder layers, checkpoints by torch's distributed checkpoint.

Each process keeps 1/size of every weight, gradient and optimizer tensor (DTensor, split along the first dimension) and
gathers a layer while it computes. Quantisation happens on the gathered matrix, so its scale is that of the whole. Shards are
written as safetensors, one file a process, and read back by any number of processes: no pickle anywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.tensor import DTensor, distribute_tensor

from kobitnet.bitlinear import BitLinear
from kobitnet.model import Model


def shard_model(model: Model, device: torch.device) -> None:
    """Shard every decoder layer, then what is left (embedding, final norm, head), over all processes, in place.

    The model is then called as model(objective, batch) -> (loss tensor, Loss): the gathering of embedding and head hangs
    on the call of the model itself. Gradients are summed over processes, not averaged: the loss has been divided by the
    terms of the whole step.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if hasattr(module, "set_gradient_divide_factor"):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no pre-multiplied sum

    def forward(objective: Any, batch: Any) -> tuple[Tensor, Any]:
        loss = objective(model, batch)
        return loss.total, loss

    model.forward = forward


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard_model` was applied."""
    return any(isinstance(p, DTensor) for p in model.parameters())


def whole(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor (every process must ask at the same time), other tensors as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into a tensor that may be sharded."""
    if isinstance(target, DTensor):
        value = distribute_tensor(
            value.to(target.device, target.dtype), target.device_mesh, target.placements
        )
    target.copy_(value)


def tensor_parallel(model: Model, mesh: Any) -> None:
    """Cut every layer over the processes of a 1-D mesh, in place: q, k, v, gate, up by rows, o and down by columns.

    Exact with `--quant group` whose groups are a multiple of the processes: every scale, of weights, norms and
    activations, lies within one process (BitNet, arXiv 2310.11453 section 2.2); one sum a block goes over the wire.
    Not a flag of the trainer: a function for those who bring a mesh.

    Raises:
        ValueError: another quantiser, or groups or key-value heads that do not divide evenly.
    """
    from torch.distributed.tensor import Shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    size = mesh.size()
    linears = [m for m in model.modules() if isinstance(m, BitLinear)]
    if any(m.quant != "group" or m.groups % size for m in linears):
        raise ValueError(f"tensor parallelism needs --quant group with groups divisible by {size}")
    if model.config.num_key_value_heads % size:
        raise ValueError(f"{model.config.num_key_value_heads} key-value heads do not divide by {size}")
    for layer in model.model.layers:
        rows = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
        plan: dict[str, Any] = {name: ColwiseParallel() for name in rows}
        plan |= {"self_attn.o_proj": RowwiseParallel(), "mlp.down_proj": RowwiseParallel()}
        parallelize_module(layer, mesh, plan)
        for norm in (layer.self_attn.attn_sub_norm, layer.mlp.ffn_sub_norm):
            gain = distribute_tensor(norm.weight.detach(), mesh, [Shard(0)])
            norm.weight = nn.Parameter(gain.to_local().clone())  # each process owns its part of the gain
            norm.groups //= size


def whole_on_first(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The whole tensors on the CPU of process 0, gathered one at a time; {} on the others."""
    out = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor)
        if not dist.get_rank():
            out[name] = gathered.detach().cpu().contiguous()
    return out


def save_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write this process's parts of all tensors into `folder`; all processes together."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

    dcp.save(
        {k: v.detach() for k, v in tensors.items()},
        storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
    )


def saved_sizes(folder: Path) -> dict[str, torch.Size]:
    """Names and whole shapes of the tensors in a folder of shards."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    metadata = HuggingFaceStorageReader(str(folder)).read_metadata()
    return {name: m.size for name, m in metadata.state_dict_metadata.items() if hasattr(m, "size")}


def load_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Fill the tensors, sharded in any way or whole, from a folder of shards; also without torchrun."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    dcp.load(
        {k: v.detach() for k, v in tensors.items()},
        storage_reader=HuggingFaceStorageReader(str(folder)),
        no_dist=not dist.is_initialized(),
    )
