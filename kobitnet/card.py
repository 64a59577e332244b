"""kobitnet card: the model card and the data card of a run, written from what the run folders on the way to it recorded.

Nothing is guessed: what no run recorded is said to be unknown. The way is found by the inputs in the manifests, the tokenizer by
its fingerprint, evaluations by the model they read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kobitnet.card_pages import FRONT_MATTER, STAGES, UNKNOWN, about_model, data_blocks, model_blocks
from kodata.run.errors import UserError
from kodata.run.flags import Parameter
from kodata.run.result import Result

if TYPE_CHECKING:
    from kodata.report.runs import Run

MARKER = "<!-- kobitnet card -->"


def card(
    model: Annotated[Path, Parameter(help="kobitnet train·sft·dpo 의 run 폴더 (run folder)")],
    /,
    *,
    runs: Annotated[
        list[Path] | None,
        Parameter(
            negative=(),
            help="자료·토크나이저·평가 실행이 있는 폴더, 없으면 그 옆 (where the other runs lie; default: beside it)",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="README.md 와 DATA_CARD.md 를 쓸 폴더, 없으면 RUN/model (folder to write to; default RUN/model)",
        ),
    ] = None,
) -> Result:
    """모델 카드와 자료 카드를 실행 기록에서 씁니다 (write the model card and the data card from the run records)

    README.md is the model card, with the front matter of the Hugging Face Hub; DATA_CARD.md tells sources, licences, the audit
    of personal data, deduplication and splits. A README.md that this verb did not write is left alone.

    Raises UserError for a folder that is no finished run of kobitnet train, sft or dpo.
    """
    from kodata.report import runs as found_runs
    from kodata.report.markdown import render

    if not (model / "manifest.json").is_file():
        raise UserError(
            f"실행 폴더가 아닙니다 (not a run folder): {model}",
            "kobitnet card RUN (kobitnet train -o RUN 의 폴더)",
        )
    own = found_runs.read(model)
    if own.tool != "kobitnet" or own.verb not in STAGES or not own.done:
        raise UserError(
            f"끝난 kobitnet train·sft·dpo 실행이 아닙니다 (not a finished train, sft or dpo run): {model}: {own.tool} {own.verb}, {own.status}",
            "끝난 실행의 폴더를 주십시오 (give the folder of a finished run)",
        )
    others = [run for group in found_runs.find(runs or [model.resolve().parent]) for run in group]
    way = _way(own, others)
    evaluations = _evaluations(own, others)
    about = about_model(model)
    tokenizers = [
        run
        for run in others
        if (run.tool, run.verb) == ("kotok", "train")
        and run.summary.get("fingerprint") == about["tokenizer_fingerprint"]
    ]
    way += [run for run in tokenizers if run not in way]
    way += [run for one in tokenizers for run in _way(one, others) if run not in way]
    way.sort(key=lambda run: str(run.manifest.get("started", "")))

    name = model.resolve().name
    model_page = model_blocks(model, own, way, evaluations, about)
    data_page = data_blocks(way)
    target = output or model / "model"
    texts = {
        target / "README.md": FRONT_MATTER
        + f"{MARKER}\n"
        + render(
            f"모델 카드 (model card): {name}",
            model_page,
            "실행 기록에서 쓴 것 (written from the run records).",
            {},
        ),
        target / "DATA_CARD.md": f"{MARKER}\n"
        + render(
            f"자료 카드 (data card): {name}",
            data_page,
            "실행 기록에서 쓴 것 (written from the run records).",
            {},
        ),
    }
    _write(texts)
    return Result(
        path=target / "README.md",
        summary={
            "runs": [f"{run.tool} {run.verb} {run.name}" for run in way],
            "evaluations": [run.name for run in evaluations],
            "data_card": str(target / "DATA_CARD.md"),
        },
        report=[*model_page, *data_page],
        lines=[
            f"거쳐 온 실행 (runs on the way): {', '.join(f'{run.verb} {run.name}' for run in way)}",
            f"평가 (evaluations): {', '.join(run.name for run in evaluations) or UNKNOWN}",
            f"자료 카드 (data card): {target / 'DATA_CARD.md'}",
        ],
    )


def _write(texts: dict[Path, str]) -> None:
    from kodata.run.files import atomic_open

    for path in texts:
        if path.exists() and MARKER not in path.read_text(encoding="utf-8", errors="replace")[:2_000]:
            raise UserError(
                f"이 동사가 쓰지 않은 파일이 있어 두었습니다 (not written by kobitnet card, left alone): {path}",
                "-o 로 다른 폴더를 고르십시오 (choose another folder with -o)",
            )
    for path, text in texts.items():
        with atomic_open(path, "w") as handle:
            handle.write(text)


# ---- the way ------------------------------------------------------------------------------------


def _inputs(run: "Run") -> list[tuple[str, str]]:
    given = run.manifest.get("inputs")
    return [
        (str(one.get("path", "")), str(one.get("fingerprint", "")))
        for one in (given if isinstance(given, list) else [])
        if isinstance(one, dict)
    ]


def _fingerprint(run: "Run") -> str:
    from kodata.run.files import fingerprint

    return fingerprint(run.path)


def _reads(reader: "Run", maker: "Run") -> bool:
    """Whether a run read what another one made: by the fingerprint of its folder, else by the place of a file in it."""
    mark = _fingerprint(maker)
    for path, digest in _inputs(reader):
        if digest and digest == mark:
            return True
        try:
            above = list(reader.path.resolve().parents)[:3]
            places = [Path(path).resolve(), *((folder / path).resolve() for folder in above)]
            if any(not {place, *place.parents}.isdisjoint(maker.places) for place in places):
                return True
        except (OSError, ValueError, RuntimeError):  # a name no file can have
            continue
    return False


def _way(own: "Run", others: list["Run"]) -> list["Run"]:
    """The run and all runs its inputs come from."""
    way, queue = [own], [own]
    seen = {own.path.resolve()}
    while queue:
        reader = queue.pop()
        for run in others:
            if run.path.resolve() not in seen and run.verb != "eval" and _reads(reader, run):
                seen.add(run.path.resolve())
                way.append(run)
                queue.append(run)
    return way


def _evaluations(own: "Run", others: list["Run"]) -> list["Run"]:
    """Finished evaluations of this very model."""
    return [
        run
        for run in others
        if (run.tool, run.verb) == ("kobitnet", "eval") and run.done and _reads(run, own)
    ]
