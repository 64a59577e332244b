"""The curves of a run in a tracker of the user's choice, besides stats.json: wandb, trackio or TensorBoard.

All three libraries are the user's own installation. A tracker only reads; a run gives the same weights with and without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from kodata.run.errors import UserError
from kodata.run.files import digest_of, read_json_object

Tracker = Literal["none", "wandb", "trackio", "tensorboard"]
Log = Callable[[int, dict[str, float]], None]


def _nothing(step: int, row: dict[str, float]) -> None:
    """No tracker."""


def _mark(run: Path) -> str:
    """Six hex digits that stay the same while a run is resumed."""
    manifest = run / "manifest.json"
    facts = read_json_object(manifest) if manifest.is_file() else {}
    return digest_of([str(run.resolve()), facts.get("id"), facts.get("started")])[:6]


@contextmanager
def tracking(kind: Tracker, run: Path, settings: dict[str, Any], step: int = 0) -> Iterator[Log]:
    """A function (step, {name: number}) that logs to the tracker; `step` is where a resumed run goes on.

    TensorBoard files go to run/tensorboard; wandb and trackio get the project `kobitnet` and the folder's name with a mark
    of the run: another folder of that name, or the same one after --fresh, is another run.

    Raises:
        UserError: the library is not installed.
    """
    if kind == "none":
        yield _nothing
        return
    name = f"{run.resolve().name}-{_mark(run)}"
    try:
        if kind == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)
        elif kind == "wandb":
            import wandb as remote
        else:
            import trackio as remote
    except ImportError:
        raise UserError(
            f"{kind} 라이브러리가 없습니다 ({kind} is not installed)",
            help=f"pip install {kind} 뒤에 같은 명령을 다시 하거나 --track none (install it, or --track none)",
        ) from None
    if kind == "tensorboard":

        def log(step: int, row: dict[str, float]) -> None:
            for key, value in row.items():
                writer.add_scalar(key, value, step)

        try:
            yield log
        finally:
            writer.close()
        return
    extra = {"id": name, "resume": "allow", "dir": str(run)} if kind == "wandb" else {"resume": "allow"}
    remote.init(project="kobitnet", name=name, config=settings, **extra)
    try:
        yield lambda step, row: remote.log(row, step=step)
    finally:
        remote.finish()
