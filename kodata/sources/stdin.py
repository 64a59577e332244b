"""Standard input as an input: `kodata clean -`. What comes in is kept beside the output while the run needs it.

The bytes become a file named `stdin`, so that a run can be split into units, resumed and recognised by content as any
other; the same bytes piped again continue a run that was cut.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kodata.run.errors import UserError
from kodata.run.files import disk_error

STDIN = "-"
SPOOL = ".stdin"
"""End of the name of the folder the file is in."""


@contextmanager
def spooled(inputs: Sequence[str], output: Path) -> Iterator[list[str]]:
    """The inputs with `-` replaced by a file that holds standard input; the file goes when the block ends."""
    if STDIN not in inputs:
        yield list(inputs)
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError(
            "표준 입력이 비어 있습니다 (standard input is a terminal)",
            "zcat a.jsonl.gz | kodata clean - -o out",
        )
    output = Path(output).absolute()
    folder = output.parent / f".{output.name}{SPOOL}"
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / "stdin", "wb") as handle:
                shutil.copyfileobj(sys.stdin.buffer, handle, 1 << 20)
        except OSError as error:
            raise disk_error(error, folder / "stdin") from error
        if not (folder / "stdin").stat().st_size:
            raise UserError(
                "표준 입력이 비어 있습니다 (standard input is empty)", "cat 글.txt | kodata clean - -o out"
            )
        yield [str(folder / "stdin") if item == STDIN else item for item in inputs]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
