"""Where training runs: the CPU, or one CUDA device for each process."""

from __future__ import annotations

import os

import torch

from kodata.run.errors import UsageError


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device. auto is CUDA where there is one; under torchrun every process takes
    the device of its LOCAL_RANK.

    Raises:
        UsageError: another name, or a device this machine has not.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(
            f"--device 는 auto, cpu, cuda, cuda:N 중 하나입니다 (unknown device): {name}",
            help="--device auto",
        )
    if device.type == "cpu":
        return torch.device("cpu")
    index = device.index if device.index is not None else int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise UsageError(
            f"CUDA 장치가 없습니다 (no such CUDA device): cuda:{index}, 있는 수 (present) {torch.cuda.device_count()}",
            help="--device cpu 로 하거나 CUDA용 torch를 설치하세요 (use --device cpu, or install a CUDA build of torch)",
        )
    return torch.device("cuda", index)
