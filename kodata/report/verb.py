"""``kodata report``: run folders in, one page out."""

import os
import shlex
from pathlib import Path
from typing import Annotated

from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_open
from kodata.run.flags import Inputs, Parameter
from kodata.run.result import Result

MARKER = "<!-- kodata report -->"
"""First line of our Markdown: tells it from a file somebody wrote."""


def report(
    inputs: Inputs,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="쓸 파일, 없으면 첫 실행 폴더의 report.html (file to write; default: report.html in the first run)",
        ),
    ] = None,
    markdown: Annotated[
        bool, Parameter(negative=(), help="HTML 대신 마크다운 (Markdown instead of HTML)")
    ] = False,
    compare: Annotated[
        bool | None,
        Parameter(
            help="두 실행을 나란히; 같은 동사의 실행 둘이면 저절로 (two runs side by side; by itself for two runs of one verb)"
        ),
    ] = None,
) -> Result:
    """실행 결과를 한 장으로 (show runs as one page: the whole road, or two runs compared).

    ``inputs`` are run folders, folders that hold run folders, or files a run wrote; runs are ordered by start time.
    The page is one self-contained HTML file under one megabyte, or Markdown (``markdown`` or a name ending in ``.md``).
    Two inputs that are one run each, of the same verb, are compared unless ``compare`` is False.

    Raises UserError for a missing or broken run (the file is named) and for an output that is not a report of ours.
    """
    from kodata.report import html, names, road, runs
    from kodata.report.compare import compare as side_by_side
    from kodata.report.compare import two_names
    from kodata.report.markdown import render

    groups = runs.find(inputs)
    every = sorted(
        (run for group in groups for run in group),
        key=lambda run: (str(run.manifest.get("started", "")), run.name),
    )
    pair = len(every) == 2 and (every[0].tool, every[0].verb) == (every[1].tool, every[1].verb)
    if compare and not pair:
        raise UsageError(
            "--compare 는 같은 동사의 실행 둘을 받습니다 (--compare takes two runs of one verb), 받은 것 (given): "
            + ", ".join(f"{run.tool} {run.verb} {run.name}" for run in every[:6]),
            "kodata report A B --compare -o compare.html",
        )
    together = pair and len(groups) == 2 if compare is None else compare
    target = _target(output, inputs, every[0].path, markdown)
    markdown = markdown or target.suffix.lower() in (".md", ".markdown")
    _refuse_foreign(target)

    if together:
        first, second = (run for group in groups for run in group)  # in the order given, not by time
        title, page = (
            f"{names.verb(first.tool, first.verb)}: {' · '.join(two_names(first, second))}",
            side_by_side(first, second),
        )
        subtitle = "두 실행을 나란히 견줍니다 (two runs side by side)."
    else:
        title = (
            "한국어 모델이 만들어진 과정"
            if len(every) > 1
            else f"{names.verb(every[0].tool, every[0].verb)} · {every[0].name}"
        )
        subtitle = "원본 글에서 결과까지, 단계마다 수치와 예 (every stage from raw text to result)."
        page = road.road(every)
    finished = sum(run.done for run in every)
    meta = {
        "단계 (stages)": len(every),
        "끝남 (done)": f"{finished}/{len(every)}",
        "시작 (first started)": str(every[0].manifest.get("started", "–"))[:16].replace("T", " "),
        "끝 (last finished)": max(
            str(run.manifest.get("finished", "–"))[:16].replace("T", " ") for run in every
        ),
    }
    text = (
        f"{MARKER}\n" + render(title, page, subtitle, meta)
        if markdown
        else html.render(title, page, subtitle, meta)
    )
    with atomic_open(target, "w") as handle:
        handle.write(text)

    came_in, came_out = _in_and_out(every)
    lines = [
        f"들어온 것 (in): {came_in}",
        f"나온 것 (out): {came_out}",
        f"보고서 (report): {target} ({len(text.encode()) / 1000:,.0f} KB, 실행 {len(every)}개 가운데 {finished}개 끝남 (runs done))",
        f"다음 (next): {_next(every)}",
    ]
    summary = {
        "runs": [
            {"path": str(run.path), "tool": run.tool, "verb": run.verb, "status": run.status} for run in every
        ],
        "compared": bool(together),
        "bytes": len(text.encode()),
    }
    return Result(path=target, summary=summary, report=page, lines=lines)


def _target(output: Path | None, inputs: list[str], first: Path, markdown: bool) -> Path:
    name = "report.md" if markdown else "report.html"
    if output is None:
        given = Path(inputs[0])
        return (given if given.is_dir() else first) / name
    if output.is_dir():
        raise UserError(
            f"-o 는 파일입니다, 폴더가 있습니다 (-o is a file, a folder is there): {output}",
            f"-o {shlex.quote(str(output / name))}",
        )
    return output


def _refuse_foreign(target: Path) -> None:
    """An older report may be replaced, somebody's file may not."""
    if not target.exists():
        return
    try:
        with open(target, "rb") as handle:
            head = handle.read(4096).decode("utf-8", "replace")
    except OSError as error:
        raise UserError(f"읽을 수 없습니다 (cannot read): {error.strerror}", file=target) from None
    if MARKER not in head and '<meta name="generator" content="kodata report">' not in head:
        raise UserError(
            f"이 도구의 보고서가 아닌 파일이 있어 쓰지 않습니다 (not a report of this tool, left alone): {target}",
            "-o 로 다른 이름을 주십시오 (choose another name with -o)",
        )


def _in_and_out(every: list) -> tuple[str, str]:
    from kodata.report import format as fmt
    from kodata.report import names, road

    sources = list(road.outside(every))
    came_in = ", ".join(sources)
    if len(sources) > 3:
        try:
            common = os.path.commonpath(sources)
        except ValueError:  # absolute and relative names together
            common = ""
        came_in = f"{common or sources[0]} … {len(sources):,}개 (inputs)"
    first = next(
        (
            run.summary[key]
            for run in every[:1]
            for key in ("in", "documents_in", "documents")
            if key in run.summary
        ),
        None,
    )
    if isinstance(first, int):
        came_in += f", {fmt.value(first)} 문서 (documents)"
    parts = []
    for run in _milestones([run for run in every if run.done]):
        number = road.main_number(run)
        parts.append(
            f"{run.name}"
            + (f" ({fmt.value(number[1])} {names.label(number[0]).split(' (')[0]})" if number else "")
        )
    return fmt.visible(came_in) or "–", fmt.visible(
        " · ".join(parts)
    ) or "아직 끝난 실행이 없습니다 (nothing finished yet)"


def _milestones(done: list) -> list:
    """The runs whose number a reader looks for: the corpus, the tokenizer, the model, its evaluation."""
    last = {(run.tool, run.verb): run for run in done}
    wanted = (
        [("kodata", "dedup"), ("kodata", "clean")],
        [("kotok", "train")],
        [("kobitnet", "dpo"), ("kobitnet", "sft"), ("kobitnet", "train")],
        [("kobitnet", "eval")],
    )
    found = [last[key] for keys in wanted if (key := next((k for k in keys if k in last), None))]
    return found or done[-3:]


def _next(every: list) -> str:
    """The command a reader most likely wants next."""
    from kodata.report import format as fmt
    from kodata.report import road

    unfinished = [run for run in every if not run.done]
    if unfinished:
        return (
            fmt.visible(road.command(unfinished[-1])).replace("\n", " ")
            or "끝나지 않은 단계를 다시 (resume the unfinished stage)"
        )
    last: dict[tuple[str, ...], str] = {}
    for run in every:
        kind = [str(run.summary.get("kind", "text"))] if run.verb == "encode" else []
        last[run.tool, run.verb, *kind] = shlex.quote(str(run.output))
    model = next((last[key] for verb in ("dpo", "sft", "train") if (key := ("kobitnet", verb)) in last), None)
    if model and ("kobitnet", "eval") not in last:
        return f"kobitnet eval {model} -o eval"
    if model:
        return f'kobitnet generate {model} "대한민국의 수도는" --greedy'
    for stage, command in _FOLLOWS.items():
        if stage in last:
            return command.format(path=last[stage])
    return f"{every[-1].tool} --help"


_FOLLOWS = {
    ("kotok", "encode", "text"): "kobitnet train {path} -o pretrain --preset tiny",
    ("kotok", "encode", "chat"): "kobitnet sft {path} --from pretrain -o sft",
    ("kotok", "encode", "pair"): "kobitnet dpo {path} --from sft -o dpo",
    ("kotok", "train"): "kotok encode docs --tok {path} -o shards --val 0.01",
    ("kodata", "dedup"): "kotok train {path} -o tok --vocab-size 32000",
    ("kodata", "clean"): "kodata dedup {path} -o docs",
    ("kodata", "dpo"): "kotok encode {path} --tok tok -o pair-shards",
    ("kodata", "sft"): "kotok encode {path} --tok tok -o chat-shards",
}
