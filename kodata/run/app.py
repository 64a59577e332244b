"""The command-line app of all three tools: a table of verbs, one way of errors, exit codes and output.

A verb is a library function, imported only when it is called. The app adds what is the same everywhere:
``-c recipe.yaml`` (flag > recipe > default), ``--json``, ``-q``, ``--debug``; results on stdout with the output
path as last line; errors as one line and one ``도움:`` line; exit 0 done, 1 user error, 2 usage, 130 interrupted.
cyclopts was chosen because it reads nested dataclasses and YAML into one typed signature with did-you-mean errors.
"""

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

from cyclopts import App, Group
from cyclopts.config import Dict

from kodata.run.progress import set_quiet
from kodata.run.recipe import Recipe
from kodata.run.result import Result
from kodata.run.usage import Call, explain

COMMON_HELP = (
    "공통 (common): -c/--config 레시피.yaml (recipe) · --json 결과를 JSON 하나로 (one JSON object) · "
    "-q/--quiet 진행 표시 없음 (no progress) · --debug 오류의 전체 스택 (tracebacks)"
)


class Tool:
    """One command-line tool: its app and the names of its verbs."""

    def __init__(self, name: str, help: str):
        self.name = name
        self.verbs: list[str] = []
        self.app = App(
            name=name,
            help=help,
            help_epilogue=COMMON_HELP,
            help_format="plaintext",
            version=_version,
            version_flags="--version",
            suppress_keyboard_interrupt=False,  # ours says how to resume
            group_commands=Group("명령 (commands)", sort_key=0),
            group_arguments=Group("인자 (arguments)", sort_key=1),
            group_parameters=Group("옵션 (options)", sort_key=2),
        )
        self.app["--help"].help = "이 도움말 (this page)"
        self.app["--version"].help = "버전 (version)"

    def verb(self, name: str, target: str, help: str) -> None:
        """Add a verb: ``target`` is "module:function", imported when the verb is called. Help shows verbs in this order."""
        self.verbs.append(name)
        self.app.command(target, name=name, help=help, help_epilogue=COMMON_HELP, sort_key=len(self.verbs))

    def main(self) -> NoReturn:
        """The console script: run and exit."""
        sys.exit(self.run(sys.argv[1:]))

    def run(self, argv: Sequence[str]) -> int:
        """Run one command line; returns the exit code."""
        argv, flags = split_common(argv)
        debug = bool(flags["debug"])
        set_quiet(bool(flags["quiet"]))
        signal.signal(signal.SIGTERM, _terminate)
        sys.unraisablehook = _keep_interrupts
        recipe: Recipe | None = None
        try:
            if flags["config"] is not None:
                recipe = Recipe(flags["config"])
                self.app.config = (Dict(recipe.section(self.name, self.verbs), source=str(recipe.path)),)
            result = self.app(argv, exit_on_error=False, print_error=False, result_action="return_value")
            show(result, as_json=bool(flags["json"]))
            return 0
        except KeyboardInterrupt:
            print(
                "\n중단됨: 같은 명령을 다시 실행하면 이어집니다 (interrupted: run the same command again to resume)",
                file=sys.stderr,
            )
            return 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:
            if debug:
                raise
            told = explain(error, Call(self.name, self.verbs, argv, recipe))
            if told is None:
                raise
            print("\n".join(told.lines()), file=sys.stderr)
            return told.code


def split_common(argv: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Take the flags that mean the same for every verb out of a command line.

    They may stand anywhere before ``--``; ``-c`` without a value becomes an empty path, refused as a missing recipe.
    """
    flags: dict[str, Any] = {"config": None, "json": False, "quiet": False, "debug": False}
    names = {"--json": "json", "-q": "quiet", "--quiet": "quiet", "--debug": "debug"}
    rest: list[str] = []
    items = list(argv)
    while items:
        item = items.pop(0)
        if item == "--":
            rest += [item, *items]
            break
        if item in names:
            flags[names[item]] = True
        elif item in ("-c", "--config"):
            flags["config"] = items.pop(0) if items else ""
        elif item.startswith("--config="):
            flags["config"] = item.removeprefix("--config=")
        else:
            rest.append(item)
    return rest, flags


def show(result: Any, *, as_json: bool = False) -> None:
    """Print a verb's result: its lines and, last, its output path; or one JSON object."""
    if not isinstance(result, Result):
        if result is not None:
            print(json.dumps(result, ensure_ascii=False, default=str) if as_json else result)
        return
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path that is not UTF-8 is printed with its own bytes
        sys.stdout.reconfigure(errors="surrogateescape")
    if as_json:
        print(json.dumps(result.to_json(), ensure_ascii=False, default=str))
    else:
        print("\n".join([*result.lines, *([str(result.path)] if result.path is not None else [])]))
    sys.stdout.flush()


def _terminate(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _keep_interrupts(unraisable: Any) -> None:
    """Python drops an interrupt that lands inside a destructor: raise it again, a moment later and outside of it."""
    if unraisable.exc_type is KeyboardInterrupt:
        # A real signal: _thread.interrupt_main would not wake the main thread out of a sleep or a read.
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kobitnet")
    except PackageNotFoundError:
        return "0 (not installed)"
