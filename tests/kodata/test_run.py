"""The house: run folders, errors, recipes, the app."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from kodata.run.app import Tool, split_common
from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_json, atomic_open, fingerprint, read_json, read_json_object
from kodata.run.flags import Flat, Fresh, Inputs, Output
from kodata.run.folder import open_run
from kodata.run.inputs import expand
from kodata.run.result import Result


@dataclass(kw_only=True)
class Inner:
    lr: float = 0.5
    """배움 (rate)."""


@dataclass(kw_only=True)
class Settings:
    profile: str = "auto"
    """모양 (shape)."""
    optim: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.profile == "bad":
            raise UsageError("profile 이 나쁩니다 (bad profile)", "다른 값 (another)")


SEEN: list[object] = []


def verb(
    inputs: Inputs,
    /,
    *,
    output: Output,
    config: Annotated[Settings | None, Flat] = None,
    fresh: Fresh = False,
) -> Result:
    """A verb for tests."""
    SEEN.append((inputs, output, config, fresh))
    if inputs == ["boom"]:
        raise ZeroDivisionError("bug")
    if inputs == ["user"]:
        raise UserError("값이 틀림 (wrong value): 7", "고치십시오 (mend it)", file="a.jsonl", line=3)
    return Result(path=output, summary={"n": 3}, lines=["셋 (three)"])


@pytest.fixture
def tool() -> Tool:
    SEEN.clear()
    made = Tool("kodata", "시험 (test)")
    made.verb("clean", f"{__name__}:verb", "시험 동사 (test verb)")
    sys.modules.setdefault(__name__, sys.modules[verb.__module__])
    return made


def settings() -> Settings:
    value = SEEN[-1][2]  # type: ignore[index]
    assert isinstance(value, Settings)
    return value


def test_flag_beats_recipe_beats_default(tool: Tool, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("kodata:\n  clean:\n    profile: web\n    optim: {lr: 0.25}\n")
    assert (
        tool.run(["clean", "a", "b", "-o", str(tmp_path / "o"), "-c", str(recipe), "--profile", "news"]) == 0
    )
    assert SEEN[-1][0] == ["a", "b"]  # type: ignore[index]
    assert (settings().profile, settings().optim.lr) == ("news", 0.25)
    assert capsys.readouterr().out.splitlines() == ["셋 (three)", str(tmp_path / "o")]
    assert tool.run(["clean", "a", "-o", "o", "--json"]) == 0
    assert capsys.readouterr().out == '{"path": "o", "n": 3}\n'


@pytest.mark.parametrize(
    ("argv", "code", "first", "second"),
    [
        (["clena"], 2, "모르는 동사 (unknown verb): clena", "혹시 clean?"),
        (["clean", "a"], 2, "빠진 인자 (missing argument): --output", "kodata clean --help"),
        (
            ["clean", "a", "-o", "o", "--profil", "x"],
            2,
            "모르는 옵션 (unknown option): --profil",
            "혹시 --profile?",
        ),
        (["clean", "a", "-o", "o", "--output_dir", "x"], 2, "--output_dir", "-o OUT"),
        (["clean", "a", "-o", "o", "--optim.lr", "abc"], 2, "--optim.lr 'abc'", "clean --help"),
        (["clean", "a", "-o", "o", "--profile", "bad"], 2, "profile 이 나쁩니다", "다른 값"),
        (["clean", "a", "-o", "o", "-c", "no.yaml"], 2, "no.yaml", "-c"),
        (["clean", "a", "-o", "o", "-c"], 2, "레시피", "-c"),
        (["clean", "user", "-o", "o"], 1, "a.jsonl:3: 값이 틀림", "고치십시오"),
    ],
)
def test_mistakes_are_two_lines(
    tool: Tool, argv: list[str], code: int, first: str, second: str, capsys: pytest.CaptureFixture
) -> None:
    assert tool.run(argv) == code
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 2
    assert lines[0].startswith("오류 (error): ") and first in lines[0]
    assert lines[1].startswith("도움: ") and second in lines[1]


@pytest.mark.parametrize(
    ("recipe", "line", "text"),
    [
        ("kodata:\n  clean:\n    profil: web\n", 3, "profil"),
        ("kodata:\n  clean:\n    optim:\n      lrr: 1\n", 4, "optim.lrr"),
        ("kodata:\n  clean:\n    optim:\n      lr: abc\n", 4, "'abc'"),
        ("kodata:\n  claen: {}\n", 2, "claen"),
        ("kodta: {}\n", 1, "kodta"),
        ("kodata:\n  clean: [1]\n", 2, "clean"),
        ("kodata:\n  clean:\n    profile: web\n    profile: news\n", 4, "duplicate key"),
        ("kodata:\n  clean: [\n", 3, "YAML"),
    ],
)
def test_a_bad_recipe_names_file_line_and_key(
    tool: Tool, tmp_path: Path, recipe: str, line: int, text: str, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe)
    assert tool.run(["clean", "a", "-o", "o", "-c", str(path)]) == 2
    err = capsys.readouterr().err.splitlines()
    assert f"{path}:{line}: " in err[0] and text in err[0]


def test_a_bug_keeps_its_traceback(tool: Tool) -> None:
    with pytest.raises(ZeroDivisionError):
        tool.run(["clean", "boom", "-o", "o"])


def test_an_interrupt_inside_a_destructor_is_not_lost() -> None:
    code = textwrap.dedent("""
        import signal, sys, time
        from kodata.run import app

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored

        class Thing:
            def __del__(self):
                raise KeyboardInterrupt

        sys.unraisablehook = app._keep_interrupts
        try:
            thing = Thing()
            del thing
            time.sleep(20)
            print("lost")
        except KeyboardInterrupt:
            print("kept")
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.stdout, done.stderr) == ("kept\n", "")


def test_common_flags_stop_at_the_double_dash() -> None:
    rest, flags = split_common(["clean", "-q", "--", "--json", "-c"])
    assert rest == ["clean", "--", "--json", "-c"]
    assert flags == {"config": None, "json": False, "quiet": True, "debug": False}


def test_atomic_open_leaves_the_old_file_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("옛것")
    with pytest.raises(ValueError), atomic_open(path, "w") as handle:
        handle.write("새것")
        raise ValueError
    assert path.read_text() == "옛것"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="디스크가 가득"), atomic_open(tmp_path / "a", "wb"):
        raise OSError(28, "No space left on device")


def test_broken_json_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{\n"a": 1,\n"b" 2}')
    with pytest.raises(UserError, match=r"s\.json:3: "):
        read_json(path)
    path.write_text("[1]")
    with pytest.raises(UserError, match="JSON 객체"):
        read_json_object(path)
    with pytest.raises(UserError, match="파일이 없습니다"):
        read_json(tmp_path / "none.json")


def test_expand(tmp_path: Path) -> None:
    (tmp_path / "나").mkdir()
    (tmp_path / ".숨김").mkdir()
    for name in ("나/b.txt", "나/a.txt", ".숨김/c.txt", "d.md"):
        (tmp_path / name).write_text("글")
    assert [p.name for p in expand([tmp_path], [".txt"])] == ["a.txt", "b.txt"]
    assert [p.name for p in expand([str(tmp_path / "**" / "*.md"), tmp_path / "d.md"])] == ["d.md"]
    for bad in (tmp_path / "none", tmp_path / "*.pdf"):
        with pytest.raises(UserError, match="no such file"):
            expand([bad])
    with pytest.raises(UserError, match="no input files"):
        expand([tmp_path], [".pdf"])


def test_expand_takes_only_the_documents_of_our_own_runs(tmp_path: Path) -> None:
    for name in (
        "wk/c1/docs/0.jsonl",
        "wk/c1/dropped/0.jsonl",
        "wk/c1/manifest.json",
        "wk/tok/x.jsonl",
        "wk/raw.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    atomic_json(tmp_path / "wk/c1/manifest.json", {"tool": "kodata", "verb": "clean", "status": "done"})
    atomic_json(tmp_path / "wk/tok/manifest.json", {"tool": "kotok", "verb": "train", "status": "done"})
    found = [str(p.relative_to(tmp_path)) for p in expand([tmp_path / "wk"], [".jsonl"])]
    assert found == ["wk/c1/docs/0.jsonl", "wk/raw.jsonl"]
    assert [p.name for p in expand(tmp_path / "wk", [".jsonl"], exclude=[tmp_path / "wk/c1"])] == [
        "raw.jsonl"
    ]
    (tmp_path / "link").symlink_to(tmp_path / "wk")
    assert len(expand([tmp_path / "wk", tmp_path / "link"], [".jsonl"])) == 2
    atomic_json(tmp_path / "wk/c1/manifest.json", {"tool": "kodata", "verb": "clean", "status": "failed"})
    with pytest.raises(UserError, match="unfinished run"):
        expand([tmp_path / "wk"])


def test_broken_links_and_pipes_in_a_folder_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("글")
    (tmp_path / "b.txt").symlink_to("없다")
    (tmp_path / "c.txt").symlink_to("c.txt")
    os.mkfifo(tmp_path / "d.txt")
    for _ in range(2):
        assert [p.name for p in expand([tmp_path])] == ["a.txt"]
    told = capsys.readouterr().err
    assert told.count("skipped") == 1 and " 3 " in told and "b.txt" in told


def test_what_may_not_be_read_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "a.txt"))

    (tmp_path / "a.txt").write_text("글")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", denied)
        with pytest.raises(UserError, match="cannot read"):
            expand([tmp_path])
    monkeypatch.setattr("kodata.run.files.open", denied, raising=False)
    with pytest.raises(UserError, match=r"cannot read.*a\.txt.*Permission denied"):
        fingerprint(tmp_path / "a.txt")


def test_names_that_are_not_utf8_survive_json(tmp_path: Path) -> None:
    name = os.fsdecode("한글".encode("cp949"))
    atomic_json(tmp_path / "a.json", {"글": [name, "한글"]})
    assert read_json(tmp_path / "a.json") == {"글": [name, "한글"]} and "한글" in (
        tmp_path / "a.json"
    ).read_text(encoding="utf-8")


def test_expand_refuses_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for bad in ("", "  ", "-", tmp_path / "fifo"):
        with pytest.raises(UserError) as caught:
            expand([bad])
        assert caught.value.help


def start(output: Path, source: Path, config: dict | None = None, **kwargs: object):
    return open_run(output, tool="kodata", verb="clean", config=config or {"a": 1}, inputs=[source], **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("들어온 글")
    return path


def test_a_finished_run_is_returned_and_another_config_refused(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    with start(out, source) as run:
        assert not run.done and not run.resuming
        run.finish(summary={"n": 1, "nan": float("nan")}, lines=["하나"])
    with start(out, source) as run:
        assert run.done
        assert run.result().summary == {"n": 1, "nan": None}
    assert (out / "report.html").exists()
    with pytest.raises(UserError, match="a 1 → 2") as caught, start(out, source, {"a": 2}):
        pass
    assert "--fresh" in caught.value.help
    source.write_text("바뀐 글")
    with pytest.raises(UserError, match="입력 내용"), start(out, source):
        pass
    with start(out, source, {"a": 2}, fresh=True) as run:
        assert not run.done
        run.finish(summary={})


def test_failure_and_interruption_are_recorded_and_resumed(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError), start(out, source):
        raise UserError("끊김")
    assert read_json_object(out / "manifest.json")["status"] == "failed"
    with pytest.raises(KeyboardInterrupt), start(out, source) as run:
        assert run.resuming
        raise KeyboardInterrupt
    assert read_json_object(out / "manifest.json")["status"] == "interrupted"
    with start(out, source) as run:
        run.finish(summary={})
    assert read_json_object(out / "manifest.json")["status"] == "done"


def test_foreign_folders_and_files_are_not_touched(tmp_path: Path, source: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "논문.hwp").write_text("소중한 글")
    for fresh in (False, True):
        with pytest.raises(UserError, match="not empty"), start(tmp_path / "mine", source, fresh=fresh):
            pass
    assert (tmp_path / "mine" / "논문.hwp").exists()
    (tmp_path / "chat.jsonl").write_text("{}")
    with pytest.raises(UserError, match="not empty"), start(tmp_path / "chat.jsonl", source, kind="file"):
        pass
    with pytest.raises(UserError, match="file is in the way"), start(source, source):
        pass


def test_fresh_never_removes_an_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = out / "docs" / "a.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    atomic_json(out / "manifest.json", {"tool": "kodata", "verb": "clean", "status": "done", "id": "1"})
    for inputs in (kept, out):
        with pytest.raises(UserError, match="inside the output"), start(out, inputs, fresh=True):
            pass
    assert kept.exists()


def test_a_file_output_has_its_run_folder_beside_it(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "chat.jsonl"
    with start(target, source, kind="file") as run:
        assert run.path == tmp_path / "chat.run" and run.target == target
        target.write_text("{}")
        run.finish(summary={})
    target.unlink()
    with start(target, source, kind="file") as run:
        assert not run.done  # the file is gone: made again
        target.write_text("{}")
        run.finish(summary={})


def test_two_processes_do_not_share_a_folder(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    with start(out, source) as run:
        with pytest.raises(UserError, match="another process"), start(out, source):
            pass
        run.finish(summary={})


def test_kill_9_leaves_a_resumable_folder(tmp_path: Path, source: Path) -> None:
    code = textwrap.dedent(f"""
        import time
        from kodata.run.folder import open_run
        with open_run({str(tmp_path / "out")!r}, tool="kodata", verb="clean", config={{"a": 1}}, inputs=[{str(source)!r}]):
            print("ready", flush=True)
            time.sleep(60)
    """)
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (tmp_path / "out" / "docs").mkdir()
    (tmp_path / "out" / "docs" / ".00000.jsonl.zst.123.tmp").write_text("반쪽")
    with start(tmp_path / "out", source) as run:
        assert run.resuming
        assert not list((tmp_path / "out").rglob("*.tmp"))
        run.finish(summary={})


def test_fingerprint_follows_content_not_names(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * 5_000_000)
    b.write_bytes(b"x" * 5_000_000)
    os.utime(b, (time.time() - 999, time.time() - 999))
    assert fingerprint(a) == fingerprint(b)
    b.write_bytes(b"x" * 4_999_999 + b"y")
    assert fingerprint(a) != fingerprint(b)
    atomic_json(tmp_path / "manifest.json", {"id": "1", "status": "done"})
    before = fingerprint(tmp_path)
    atomic_json(tmp_path / "manifest.json", {"id": "2", "status": "done"})
    assert before != fingerprint(tmp_path)
