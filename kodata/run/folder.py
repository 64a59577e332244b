"""The run folder: every verb's output, with a manifest that says what made it and whether it is whole.

The same command again resumes an unfinished run and returns the result of a finished one. Another config
or other inputs in the same folder are refused with the difference; nothing is overwritten silently.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kodata.run.errors import UserError
from kodata.run.files import atomic_json, atomic_open, digest_of, fingerprint, read_json_object
from kodata.run.result import Result

FORMAT = 1
KEY_LIBRARIES = (
    "kobitnet", "numpy", "datatrove", "py3langid", "kiwipiepy", "ftfy", "tokenizers", "tiktoken", "sentencepiece",
    "torch", "transformers",
)  # fmt: skip


@dataclass(kw_only=True, slots=True)
class RunFolder:
    """An open run. ``path``: the folder; ``target``: the output file when the verb writes one file."""

    path: Path
    manifest: dict[str, Any]
    target: Path | None = None
    done: bool = False
    resuming: bool = False
    suspended: bool = False
    _started: float = field(default_factory=time.monotonic)

    @property
    def output(self) -> Path:
        """What the user asked for with ``-o``: the target file or the folder."""
        return self.target or self.path

    def result(self) -> Result:
        """The result of a finished run, read back from ``stats.json``."""
        stats = read_json_object(self.path / "stats.json")
        return Result(
            path=self.output,
            summary=stats.get("summary", {}),
            report=stats.get("report", []),
            lines=[*stats.get("lines", []), "이미 끝난 실행입니다: 다시 하려면 --fresh (already done)"],
        )

    def finish(
        self,
        *,
        summary: Mapping[str, Any],
        report: Iterable[Mapping[str, Any]] = (),
        lines: Iterable[str] = (),
    ) -> Result:
        """Write ``stats.json`` and ``report.html``, mark the run done, return its Result."""
        from kodata.report.html import render
        from kodata.report.names import verb

        result = Result(
            path=self.output, summary=dict(summary), report=[dict(b) for b in report], lines=list(lines)
        )
        atomic_json(
            self.path / "stats.json",
            _finite({"summary": result.summary, "report": result.report, "lines": result.lines}),
        )
        self._close("done")
        title = verb(self.manifest["tool"], self.manifest["verb"])
        # what a reader should know first: the first line in words, which the head of a table is not
        first = next((s.strip()[:300] for s in result.lines if any("가" <= c <= "힣" for c in s)), "")
        meta = {"output": str(self.output), **self.manifest}
        with atomic_open(self.path / "report.html", "w") as handle:
            handle.write(render(title, result.report, subtitle=first, meta=meta))
        self.done = True
        return result

    def suspend(self, *, summary: Mapping[str, Any], lines: Iterable[str] = ()) -> Result:
        """Leave the run unfinished on purpose: its units were given to a cluster. The same command takes it up again."""
        self._close("submitted")
        self.suspended = True
        return Result(path=self.output, summary=dict(summary), lines=list(lines))

    def _close(self, status: str, error: str = "") -> None:
        self.manifest["status"] = status
        self.manifest["finished"] = _now()
        self.manifest["seconds"] = round(
            self.manifest.get("seconds", 0.0) + time.monotonic() - self._started, 3
        )
        if error:
            self.manifest["error"] = error
        else:
            self.manifest.pop("error", None)
        atomic_json(self.path / "manifest.json", self.manifest)


@contextmanager
def open_run(
    output: str | Path,
    *,
    tool: str,
    verb: str,
    config: Any,
    inputs: Iterable[str | Path] = (),
    seed: int | None = None,
    fresh: bool = False,
    kind: Literal["folder", "file"] = "folder",
) -> Iterator[RunFolder]:
    """Open (create, resume or find finished) the run folder of one command.

    config: a dataclass or mapping of everything that changes the output (limits too, worker counts not).
    inputs: existing paths the run reads; they are compared by content, not by name.
    kind: "file" when ``output`` is one file: the run folder is then ``<stem>.run`` beside it.

    Raises UserError when another process writes there, when the folder belongs to somebody else, or when it
    holds a run with another config or other inputs.
    """
    output = Path(output)
    target = output if kind == "file" else None
    path = output.with_name(f"{_stem(output)}.run") if kind == "file" else output
    manifest_file = path / "manifest.json"
    if path.exists() and not path.is_dir():
        raise UserError(
            f"출력 폴더 자리에 파일이 있습니다 (a file is in the way): {path}",
            "-o 로 다른 이름을 주십시오 (choose another -o)",
        )
    inputs = list(inputs)
    _refuse_own_input(path, target, inputs)
    _refuse_foreign(path, target)
    if fresh:
        _remove_old(path, target, tool, verb)

    manifest = _new_manifest(tool, verb, config, inputs, seed)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        from kodata.run.files import disk_error

        raise disk_error(error, path) from None
    with _lock(path):
        run = RunFolder(path=path, manifest=manifest, target=target)
        if manifest_file.exists():
            old = read_json_object(manifest_file)
            _refuse_difference(old, manifest, output)
            run.done = old.get("status") == "done" and (target is None or target.exists())
            run.resuming = not run.done
            manifest["started"] = old.get("started", manifest["started"])
            manifest["seconds"] = old.get("seconds", 0.0)
        if run.done:
            run.manifest = old
            yield run
            return
        if run.resuming and old.get("status") != "submitted":  # workers of a cluster may be writing
            _remove_leftovers(path, target)
        manifest["status"] = "running"
        atomic_json(manifest_file, manifest)
        try:
            yield run
        except KeyboardInterrupt:
            run._close("interrupted")
            raise
        except BaseException as error:
            run._close("failed", str(error)[:500])
            raise
        if not (run.done or run.suspended):
            run._close("failed", "the verb ended without a result")


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".zst", ".gz", ".jsonl", ".json", ".parquet", ".html", ".md"):
        name = name.removesuffix(suffix)
    return name or path.name


def _new_manifest(
    tool: str, verb: str, config: Any, inputs: Iterable[str | Path], seed: int | None
) -> dict[str, Any]:
    settings = asdict(config) if is_dataclass(config) and not isinstance(config, type) else dict(config or {})
    settings = json.loads(json.dumps(settings, default=str))
    sources = [{"path": str(p), "fingerprint": _known(Path(p))} for p in inputs]
    identity = [tool, verb, settings, [s["fingerprint"] for s in sources], seed]
    return {
        "format": FORMAT,
        "id": digest_of(identity),
        "tool": tool,
        "verb": verb,
        "status": "running",
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "config": settings,
        "inputs": sources,
        "seed": seed,
        "started": _now(),
        "versions": _versions(),
        "seconds": 0.0,
    }


def _known(path: Path) -> str:
    if not path.exists():
        raise UserError(
            f"파일이나 폴더가 없습니다 (no such file or folder): {path}",
            "경로를 확인하십시오 (check the path)",
        )
    return fingerprint(path)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in KEY_LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _refuse_own_input(path: Path, target: Path | None, inputs: Iterable[str | Path]) -> None:
    """An input inside the output would be removed by --fresh, or read again as input the next time."""
    place = path.resolve()
    for item in inputs:
        real = Path(item).resolve()
        if real == place or place in real.parents or (target is not None and real == target.resolve()):
            raise UserError(
                f"입력이 출력 폴더 안에 있습니다 (an input lies inside the output): {item}",
                "-o 로 다른 곳을 고르십시오 (choose another -o)",
            )


def _refuse_foreign(path: Path, target: Path | None) -> None:
    """A folder with content but no manifest, or a file that no run of ours wrote, is somebody's data."""
    if (path / "manifest.json").exists():
        return
    foreign = target is not None and target.exists()
    if path.is_dir():
        foreign = foreign or any(p.name != ".lock" and not p.name.endswith(".tmp") for p in path.iterdir())
    if foreign:
        raise UserError(
            f"다른 내용이 이미 있어 쓰지 않습니다 (not empty and not written by this tool): {target or path}",
            "-o 로 빈 곳을 고르십시오 (choose an empty place with -o)",
        )


def _remove_old(path: Path, target: Path | None, tool: str, verb: str) -> None:
    if not (path / "manifest.json").exists():
        return
    old = read_json_object(path / "manifest.json")
    if (old.get("tool"), old.get("verb")) != (tool, verb):
        raise UserError(
            f"--fresh 로 지우지 않습니다: {old.get('tool')} {old.get('verb')} 의 출력입니다 (holds another verb's output): {path}",
            "-o 로 다른 곳을 고르십시오 (choose another -o)",
        )
    with _lock(path):
        for item in path.iterdir():
            if item.name != ".lock":
                shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        if target is not None:
            target.unlink(missing_ok=True)


def _remove_leftovers(path: Path, target: Path | None) -> None:
    """Half-written files of a killed run: ``atomic_open`` names them ``.name.PID.tmp``."""
    beside = [] if target is None else list(target.parent.glob(f".{target.name}.*.tmp"))
    for leftover in [*path.rglob(".*.tmp"), *beside]:
        if leftover.is_file():
            leftover.unlink(missing_ok=True)


def _refuse_difference(old: Mapping[str, Any], new: Mapping[str, Any], output: Path) -> None:
    if old.get("id") == new["id"]:
        return
    if (old.get("tool"), old.get("verb")) != (new["tool"], new["verb"]):
        difference = f"{old.get('tool')} {old.get('verb')} → {new['tool']} {new['verb']}"
    else:
        before = _flat({"seed": old.get("seed"), **(old.get("config") or {})})
        after = _flat({"seed": new["seed"], **new["config"]})
        changes = [
            f"{key} {_show(before.get(key))} → {_show(after.get(key))}"
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        ]
        if not changes:
            names = [s["path"] for s in new["inputs"]]
            changes = [f"입력 내용 (input content): {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"]
        difference = "; ".join(changes[:8]) + (f"; … (+{len(changes) - 8})" if len(changes) > 8 else "")
    raise UserError(
        f"이 폴더에는 설정이나 입력이 다른 실행이 있습니다 (folder holds another run): {output}: {difference}",
        "그 실행을 버리려면 --fresh, 아니면 -o 로 다른 곳 (--fresh to discard it, or another -o)",
    )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            k: v
            for key, item in value.items()
            for k, v in _flat(item, f"{prefix}.{key}" if prefix else key).items()
        }
    return {prefix: value}


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _finite(value: Any) -> Any:
    """JSON has no NaN: they become null so that every reader can open the file."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return _finite(value.item())
    if isinstance(value, Path):
        return str(value)
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process a folder. The lock dies with the process, so a kill -9 leaves nothing to clean."""
    try:
        import fcntl
    except ImportError:  # not on Windows: there the second process fails at rename instead
        yield
        return
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"다른 프로세스가 이 폴더에 쓰고 있습니다 (another process is writing there): {path}",
                "그 실행이 끝나기를 기다리거나 -o 로 다른 곳을 고르십시오 (wait for it or choose another -o)",
            ) from None
        yield
    finally:
        os.close(handle)
