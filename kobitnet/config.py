"""Settings of the training loop, and what a stage fills in where nothing was given."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from kobitnet.finite import check_finite
from kobitnet.optim import Schedule
from kobitnet.track import Tracker
from kodata.run.errors import UsageError


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    """Optimizer and schedule; what is not given takes the stage's default."""

    name: Literal["adamw", "muon"] | None = None
    """최적화기: adamw | muon (optimizer)"""
    schedule: Schedule | None = None
    """학습률 곡선 (learning rate schedule)"""
    warmup: float | None = None
    """예열: 1 미만이면 전체의 비율, 이상이면 스텝 수 (warm-up: share of all steps below 1, else steps)"""
    lr2: float | None = None
    """two-stage 후반의 최고 학습률, 기본 lr의 2/3 (peak learning rate of the second half)"""
    weight_decay: float | None = None
    """가중치 감쇠, two-stage 후반에는 0 (weight decay)"""
    clip: float | None = None
    """기울기 노름 상한, 0 = 없음 (gradient norm limit, 0 = none)"""
    spike: float | None = None
    """기울기 노름이 최근 평균의 이 배를 넘는 스텝은 버림, 0 = 끔 (skip steps whose gradient norm is above this many times its recent mean, 0 = off)"""
    beta1: float | None = None
    """Adam의 beta1 (Adam's beta1)"""
    beta2: float | None = None
    """Adam의 beta2 (Adam's beta2)"""

    def __post_init__(self) -> None:
        check_finite(self, "--optim.")
        for name in ("warmup", "lr2", "weight_decay", "clip", "spike"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(
                    f"--optim.{name.replace('_', '-')} 는 0 이상입니다 (must be 0 or more): {value}",
                    help="기본값은 --help 에 있습니다 (defaults are in --help)",
                )
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UsageError(
                    f"--optim.{name} 는 0 이상 1 미만입니다 (must be in [0, 1)): {value}",
                    help="기본값은 --help 에 있습니다 (defaults are in --help)",
                )


@dataclass(kw_only=True, slots=True)
class LoopConfig:
    """What every training stage has in common."""

    steps: int = 0
    """최적화 스텝 수, 0 = --epochs 로 정함 (optimizer steps, 0 = by --epochs)"""
    epochs: float = 1.0
    """데이터를 도는 횟수 (passes over the data)"""
    batch_size: int = 16
    """한 스텝의 시퀀스 수 (sequences per optimizer step)"""
    accumulate: int = 1
    """한 스텝을 나누는 조각 수 (micro-batches per step)"""
    seq_len: int = 256
    """시퀀스 길이 (sequence length, tokens)"""
    lr: float = 0.0
    """최고 학습률, 0 = 크기와 단계의 기본 (peak learning rate, 0 = default of size and stage)"""
    reduction: Literal["mean", "sum"] = "mean"
    """토큰 손실을 평균 또는 합 (mean or sum of token losses)"""
    precision: Literal["fp32", "bf16"] = "fp32"
    """곱셈 정밀도 (precision of matrix products; bf16 = autocast)"""
    latents: Literal["fp32", "bf16"] = "fp32"
    """잠재 가중치의 정밀도: bf16 = 확률 반올림, 메모리와 파일이 작아짐 (latent weights; bf16 = stochastic rounding, smaller memory and files)"""
    recompute: bool = False
    """층의 활성값을 다시 계산해 메모리를 아낌 (activation checkpointing)"""
    save_every: int = 0
    """체크포인트 간격, 0 = 시간으로만 (steps between checkpoints, 0 = by time only)"""
    save_seconds: float = 300.0
    """체크포인트 시간 간격 (seconds between checkpoints)"""
    keep: int = 2
    """남겨 둘 체크포인트 수 (checkpoints kept)"""
    log_every: int = 10
    """곡선 기록 간격 (steps between points of the curves)"""
    eval_every: int = 100
    """검증과 표본 간격, 0 = 끝에만 (steps between validations and samples, 0 = only at the end)"""
    eval_batches: int = 8
    """검증에 쓰는 배치 수 (batches per validation)"""
    threads: int = 0
    """torch 스레드 수, 0 = 그대로 (torch threads, 0 = as it is)"""
    device: str = "auto"
    """장치: auto | cpu | cuda | cuda:N (device)"""
    compile: bool = False
    """torch.compile 로 층을 엮음, 시작이 느려짐 (compile the layers; slower start)"""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """torchrun 에서: ddp = 모델을 각자, fsdp = FSDP2 로 나눔 (under torchrun: whole copies, or sharded by FSDP2)"""
    track: Tracker = "none"
    """곡선을 보낼 곳 (tracker for the curves)"""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """최적화 (optimizer)"""

    def __post_init__(self) -> None:
        check_finite(self)
        for name in ("batch_size", "accumulate", "keep", "log_every", "eval_batches"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"--{name.replace('_', '-')} 는 1 이상입니다 (must be 1 or more): {getattr(self, name)}",
                    help="기본값은 --help 에 있습니다 (defaults are in --help)",
                )
        for name in ("steps", "lr", "save_every", "eval_every", "threads"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"--{name.replace('_', '-')} 는 0 이상입니다 (must be 0 or more): {getattr(self, name)}",
                    help="기본값은 --help 에 있습니다 (defaults are in --help)",
                )
        if self.seq_len < 8:
            raise UsageError(
                f"--seq-len 은 8 이상입니다 (must be 8 or more): {self.seq_len}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
        if self.steps == 0 and self.epochs <= 0:
            raise UsageError(
                f"--epochs 는 0보다 커야 합니다 (must be above 0): {self.epochs}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
        if self.latents == "bf16" and self.parallel == "fsdp":
            raise UsageError(
                "--latents bf16 은 --parallel fsdp 와 함께 쓸 수 없습니다 (bf16 latents are not for sharded models)",
                help="--latents fp32",
            )
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"--batch-size {self.batch_size} 는 --accumulate {self.accumulate} 로 나누어져야 합니다 (must be a multiple)",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )


# Changing these does not change the weights that come out: a resumed run may have others.
FREE_FIELDS = ("save_every", "save_seconds", "keep", "threads", "device", "parallel", "track")


def resolve(config: LoopConfig, *, lr: float, **optim: Any) -> None:
    """Fill in what was left to the stage: the learning rate and the optimizer's fields (in place: on a copy of the caller's)."""
    config.lr = config.lr or lr
    defaults = {
        "name": "adamw",
        "schedule": "cosine",
        "warmup": 0.03,
        "lr2": None,
        "weight_decay": 0.0,
        "clip": 1.0,
        "spike": 0.0,
        "beta1": 0.9,
        "beta2": 0.95,
        **optim,
    }
    if (
        config.lr != lr or defaults["lr2"] is None
    ):  # a learning rate of the user's own brings its own second stage
        defaults["lr2"] = round(config.lr * 2 / 3, 12)
    for name, value in defaults.items():
        if getattr(config.optim, name) is None:
            setattr(config.optim, name, value)


@dataclass(kw_only=True, slots=True)
class Optim:
    """OptimConfig with everything decided."""

    name: Literal["adamw", "muon"]
    schedule: Schedule
    warmup: float
    lr2: float
    weight_decay: float
    clip: float
    spike: float
    beta1: float
    beta2: float


def decided(config: LoopConfig) -> Optim:
    """The optimizer's settings after `resolve`."""
    values = asdict(config.optim)
    assert None not in values.values(), "resolve() comes first"
    return Optim(**values)


def identity(config: LoopConfig) -> dict[str, Any]:
    """The settings that decide the result, for the run's manifest."""
    return {
        k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items() if k not in FREE_FIELDS
    }


def autocast(config: LoopConfig, device: str = "cpu") -> torch.autocast:
    """bf16 autocast when asked for, for a type of device; a disabled context otherwise."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=config.precision == "bf16")
