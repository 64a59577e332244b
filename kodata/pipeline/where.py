"""Where work units run: the flags of every verb that runs units, without the libraries behind them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from kodata.run.errors import UsageError
from kodata.run.flags import Parameter

ExecutorName = Literal["local", "slurm", "ray"]
Executor = Annotated[
    ExecutorName,
    Parameter(
        help="작업 단위를 돌리는 곳: 이 기계, Slurm 배열 작업, Ray 클러스터 (where work units run; the output is the same)"
    ),
]


@dataclass(kw_only=True, slots=True)
class ClusterConfig:
    """Settings of `--executor slurm` and `ray`. They change where units run, never the output."""

    partition: str = ""
    """Slurm 파티션 (Slurm partition)"""
    time: str = "04:00:00"
    """단위 하나의 시간 한도, Slurm (time limit of one array task, Slurm)"""
    memory: float = 2.0
    """단위 하나의 메모리 (memory of one unit, GB)"""
    setup: str = ""
    """작업 전에 돌릴 셸 명령, 빈 값이면 지금의 파이썬과 폴더 (shell command before the work, default: this Python and folder)"""
    sbatch: tuple[str, ...] = ()
    """sbatch 에 더 줄 것, 예: account=abc (more sbatch options)"""
    units_per_job: int = 1
    """배열 작업 하나가 하는 단위 수 (units one array task does)"""
    address: str = ""
    """Ray 클러스터 주소, 빈 값이면 RAY_ADDRESS 나 새 로컬 Ray (address of the Ray cluster)"""

    def __post_init__(self) -> None:
        if self.memory <= 0:
            raise UsageError(f"--cluster.memory 는 0보다 큽니다 (must be positive): {self.memory}")
        if self.units_per_job < 1:
            raise UsageError(
                f"--cluster.units-per-job 은 1 이상입니다 (must be 1 or more): {self.units_per_job}"
            )
        for option in self.sbatch:
            if not option.strip("-").partition("=")[0]:
                raise UsageError(f"--cluster.sbatch 의 꼴은 이름=값 (must be name=value): {option}")


Cluster = Annotated[ClusterConfig | None, Parameter(name="--cluster")]
