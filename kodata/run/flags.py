"""The flags every verb shares, said once: their names, one-letter forms and help lines."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter as Parameter  # the one door for verbs that add flags of their own

from kodata.run.errors import UsageError


def _at_least(smallest: int, flag: str, largest: int = 2**63 - 1) -> Any:
    """A cyclopts validator: the two-line error for a whole number out of range."""

    def check(kind: Any, value: Any) -> None:
        if value is not None and not smallest <= value <= largest:
            raise UsageError(
                f"{flag} 는 {smallest} 이상입니다 (must be {smallest} or more): {value}",
                f"{flag} {max(smallest, 1)}",
            )

    return check


def check_limit(limit: int | None) -> None:
    """The check of `--limit`, also for callers from Python. Raises UsageError below 1."""
    _at_least(1, "--limit")(None, limit)


Inputs = Annotated[
    list[str], Parameter(help="입력 파일·폴더·패턴 (input files, folders or globs)", negative=())
]
Output = Annotated[Path, Parameter(name=["--output", "-o"], help="출력 폴더나 파일 (output folder or file)")]
Limit = Annotated[
    int | None,
    Parameter(
        name=["--limit", "-n"],
        validator=_at_least(1, "--limit"),
        help="앞에서 이만큼만 처리 (only the first N records)",
    ),
]
Workers = Annotated[
    int,
    Parameter(
        validator=_at_least(0, "--workers", 4096),
        help="작업 프로세스 수, 0 = 코어 수 (worker processes, 0 = all cores)",
    ),
]
Seed = Annotated[int, Parameter(validator=_at_least(0, "--seed"), help="난수 시드 (random seed)")]
DryRun = Annotated[
    bool,
    Parameter(
        negative=(), help="조금만 해 보고 계획을 보여 줌, 아무것도 쓰지 않음 (show the plan, write nothing)"
    ),
]
Fresh = Annotated[
    bool,
    Parameter(
        negative=(), help="이 도구가 전에 쓴 출력을 지우고 처음부터 (remove this tool's old output first)"
    ),
]
Flat = Parameter(name="*")


def worker_count(workers: int) -> int:
    """``--workers`` as a number of processes: 0 means the cores this process may use."""
    import os

    if workers < 0:
        raise UsageError(f"--workers 는 0 이상입니다 (must be 0 or more): {workers}")
    if workers:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
