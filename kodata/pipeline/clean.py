"""`kodata clean`: every Korean source in, clean documents out, nothing lost."""

import json
import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from kodata.lang import asked
from kodata.pii import PiiConfig
from kodata.pipeline.where import Cluster, ClusterConfig, Executor
from kodata.rules import Profile, check_profile
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output, Workers, check_limit, worker_count
from kodata.run.result import Result
from kodata.sources.record import Settings, SourceRule, shown

Form = Literal[
    "auto",
    "text",
    "jsonl",
    "json",
    "csv",
    "tsv",
    "xlsx",
    "parquet",
    "arrow",
    "html",
    "warc",
    "epub",
    "hwp",
    "hwpx",
    "xml",
    "po",
    "zip",
]
DRY_DOCUMENTS = 200


@dataclass(kw_only=True, slots=True)
class CleanConfig:
    """Settings of `kodata clean`."""

    source: Form = "auto"
    """입력의 꼴, auto 는 이름과 내용으로 알아봄 (form of the inputs; auto recognises them)"""
    text_field: str | None = None
    """본문 열쇠, 또는 틀 "{제목}\\n{본문}" (text key, or a template of keys)"""
    split: Literal["file", "line", "blank"] = "file"
    """글 파일을 문서로 나누는 법: 통째, 줄, 빈 줄 (how a text file becomes documents)"""
    profile: Profile = "auto"
    """정제 규칙, auto 는 문서의 kind 로 고름 (cleaning rules; auto goes by the document's kind)"""
    kind: str | None = None
    """kind 가 없는 문서의 종류 (kind of documents that name none)"""
    licence: str | None = None
    """라이선스가 없는 문서의 라이선스 (licence of documents that name none)"""
    lang: str = "ko"
    """바라는 언어, 예: ko,en,code; ko 밖의 것은 docs-en/ 처럼 따로 (languages wanted; those beside ko get their own output)"""
    toxicity: bool = True
    """거친 말의 점수를 meta.toxicity 에 적음, 버리지는 않음 (write a toxicity score to meta; nothing is dropped for it)"""
    require_licence: bool = False
    """라이선스를 모르는 문서는 버림 (drop documents without a licence)"""
    boilerplate: bool = True
    """기사와 웹글의 머리·꼬리 군더더기를 자름 (cut bylines and footers of news and web texts)"""
    max_chars: int = 1_000_000
    """더 긴 글은 여러 문서로 나눔 (longer texts are cut into several documents, characters)"""
    pii: Annotated[PiiConfig, Flat] = field(default_factory=PiiConfig)
    """개인정보 (personal data)"""
    sources: list[SourceRule] = field(default_factory=list)
    """파일별 설정, 레시피에서 (settings by file, in a recipe)"""

    def __post_init__(self) -> None:
        check_profile(self.profile)
        asked(self.lang)
        if self.max_chars < 1000:
            raise UsageError(f"--max-chars 는 1000 이상입니다 (must be 1000 or more): {self.max_chars}")
        self.sources = [rule if isinstance(rule, SourceRule) else _rule(rule) for rule in self.sources]
        for rule in self.sources:
            if rule.profile:
                check_profile(rule.profile)
            if rule.split not in (None, "file", "line", "blank"):
                raise UsageError(
                    f"split 은 file, line, blank 가운데 하나입니다 (must be file, line or blank): {rule.split}"
                )


def _rule(value: Any) -> SourceRule:
    if not isinstance(value, dict):
        raise UsageError(
            f"sources: 항목은 열쇠와 값이어야 합니다 (an entry must be a mapping): {value!r}",
            'sources: [{match: "*.md", licence: MIT}]',
        )
    try:
        return SourceRule(**value)
    except TypeError as error:
        raise UsageError(
            f"sources: 항목이 틀렸습니다 (bad entry): {value!r}: {error}",
            'sources: [{match: "*.md", licence: MIT}]',
        ) from None


def clean(
    inputs: Inputs,
    /,
    *,
    output: Output,
    config: Annotated[CleanConfig | None, Flat] = None,
    limit: Limit = None,
    workers: Workers = 0,
    executor: Executor = "local",
    cluster: Cluster = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """한국어 원천을 깨끗한 문서로 (clean Korean sources into documents).

    Reads files, folders, globs, standard input (`-`) and `hf:owner/name[:config[:split]]`; writes `docs/`, `dropped/` with reasons,
    `docs-xx/` for the other languages of `lang`, `failed.jsonl`, `pii/` and `pii.json` (kinds and places, never values), the
    report and `DATA_CARD.md` (sources, licences, counts, drops, versions). In = kept + dropped + failed, checked.
    The same command again resumes; executor and number of workers change nothing in the output. With `executor="slurm"`
    the command sends the job and comes back; run again it gathers what is done.
    Raises UserError for missing inputs and for inputs that hold no readable record.
    """
    config = config or CleanConfig()
    processes = worker_count(workers)
    check_limit(limit)
    if executor == "local" and processes > 1 and not dry_run:
        from kodata.pipeline.workers import start_server

        start_server("kodata.pipeline.ready")

    from kodata.pipeline.plan import Plan, input_files, make_plan
    from kodata.run.folder import open_run
    from kodata.sources.hub import PREFIX
    from kodata.sources.stdin import STDIN, spooled

    inputs = [str(item) for item in inputs]
    if STDIN in inputs:
        if executor == "slurm":
            raise UsageError("표준 입력은 Slurm 으로 보낼 수 없습니다 (standard input cannot go to Slurm)")
        with spooled(inputs, output) as files_of_stdin:
            return clean(
                files_of_stdin, output=output, config=config, limit=limit, workers=workers, executor=executor,
                cluster=cluster, dry_run=dry_run, fresh=fresh,
            )  # fmt: skip
    settings = Settings(
        text_field=config.text_field, licence=config.licence, kind=config.kind,
        profile=None if config.profile == "auto" else config.profile, split=config.split,
    )  # fmt: skip
    files = input_files(inputs, output)
    if dry_run:
        return _dry_run(
            make_plan(inputs, config.sources, settings, config.source), config, files, processes, output
        )
    resolved = {
        **asdict(config),
        "limit": limit,
        "hub": [str(p) for _, p in files if str(p).startswith(PREFIX)],
    }
    paths = [path for _, path in files if not str(path).startswith(PREFIX)]
    with open_run(output, tool="kodata", verb="clean", config=resolved, inputs=paths, fresh=fresh) as run:
        if run.done:
            return run.result()
        plan_file = run.path / "work" / "plan.json"
        if not plan_file.exists():
            make_plan(
                inputs, config.sources, settings, config.source, one_unit=limit is not None, output=output
            ).save(plan_file)
        elif (plan := Plan.load(plan_file)).move_to([path for _, path in files]):
            plan.save(plan_file)
        return _run(
            run, plan_file, config, limit, executor, processes if executor == "local" else workers, cluster
        )


def _run(
    run: Any, plan_file: Path, config: CleanConfig, limit: int | None, executor: str, workers: int, cluster: ClusterConfig | None
) -> Result:  # fmt: skip
    from kodata.boilerplate.counting import forget, wanted
    from kodata.pipeline.card import audit, card
    from kodata.pipeline.count import count
    from kodata.pipeline.executor import clean_done, clean_step, run_units
    from kodata.pipeline.ids import disambiguate
    from kodata.pipeline.plan import Plan
    from kodata.pipeline.summary import blocks, says, summary
    from kodata.run.files import atomic_json, atomic_open
    from kodata.run.progress import progress

    plan = Plan.load(plan_file)
    started = time.monotonic()
    where: dict[str, Any] = {"executor": executor, "workers": workers, "cluster": cluster}
    if wanted(config, plan) and (job := count(run_units, run.path, plan, config, limit, **where)):
        return _sent(run, plan, job)
    done = _done_bytes(run.path, plan)
    with progress(
        "정제 (clean)", total=round(plan.size / 1e6, 3) if limit is None else None, unit="MB", done=done / 1e6
    ) as bar:
        watch = _Watch(run.path, plan, bar, done)
        job = run_units(
            clean_step(run.path, config, limit),
            name="kodata-clean",
            folder=run.path,
            tasks=len(plan.units),
            done=clean_done(run.path),
            executor=executor,
            workers=workers,
            cluster=cluster,
            watch=watch,
        )
    if job is not None:
        return _sent(run, plan, job)
    for leftover in run.path.rglob(".*.tmp"):  # of workers that a cluster stopped
        leftover.unlink(missing_ok=True)
    numbers = _merged(run.path, plan)
    unread = _check(numbers, plan, limit)
    forget(run.path)
    failed = _join_failures(run.path, len(plan.units))
    renamed = disambiguate(run.path, len(plan.units))
    facts = summary(numbers, renamed, len(plan.units))
    with atomic_open(run.path / "DATA_CARD.md", "w") as handle:
        handle.write(card(numbers, facts, config, run.manifest))
    atomic_json(run.path / "pii.json", audit(numbers, facts, config))
    return run.finish(
        summary=facts,
        report=blocks(numbers, facts, config),
        lines=[*says(numbers, facts, run.path, failed, time.monotonic() - started), *unread],
    )


def _sent(run: Any, plan: Any, job: str) -> Result:
    """The result of a run whose units are on their way through Slurm."""
    from kodata.pipeline.unit import unit_file

    done = sum(unit_file(run.path, i).exists() for i in range(len(plan.units)))
    return run.suspend(
        summary={"job": job, "units": len(plan.units), "units_done": done},
        lines=[
            f"Slurm 작업 (job) {job}: 작업 단위 (units) {done:,} / {len(plan.units):,} 끝남 (done)",
            f"스크립트 (script): {run.path / 'work' / 'slurm' / 'launch_script.slurm'}",
            "작업이 끝나면 같은 명령을 다시 실행해 모으십시오 (run the same command again to gather)",
        ],
    )


class _Watch:
    """Turns the counters of running and finished units into progress."""

    def __init__(self, folder: Path, plan: Any, bar: Any, done: float):
        self.folder, self.plan, self.bar, self.said = folder, plan, bar, done
        self.finished: dict[int, dict[str, int]] = {}

    def __call__(self) -> None:
        from kodata.pipeline.unit import live_file, unit_file

        place = documents = kept = 0.0
        for index, size in enumerate(self.plan.sizes):
            if index not in self.finished and unit_file(self.folder, index).exists():
                self.finished[index] = json.loads(unit_file(self.folder, index).read_text(encoding="utf-8"))[
                    "counts"
                ]
            if counts := self.finished.get(index):
                place, documents, kept = place + size, documents + counts["in"], kept + counts["kept"]
                continue
            try:
                seen, read, stayed = map(
                    int, live_file(self.folder, index).read_text(encoding="ascii").split()
                )
            except (OSError, ValueError):
                continue
            place, documents, kept = place + min(read, size), documents + seen, kept + stayed
        fields = {"문서 (docs)": f"{documents:,.0f}"}
        if documents:
            fields["남김 (kept)"] = f"{100 * kept / documents:.0f} %"
        self.bar.advance(max(place - self.said, 0) / 1e6, **fields)
        self.said = max(place, self.said)


def _done_bytes(folder: Path, plan: Any) -> float:
    from kodata.pipeline.unit import unit_file

    return sum(size for index, size in enumerate(plan.sizes) if unit_file(folder, index).exists())


def _merged(folder: Path, plan: Any) -> Any:
    from kodata.pipeline.numbers import Numbers
    from kodata.pipeline.unit import unit_file
    from kodata.run.files import read_json_object

    numbers = Numbers()
    for index in range(len(plan.units)):
        numbers.add(read_json_object(unit_file(folder, index)))
    return numbers


def _check(numbers: Any, plan: Any, limit: int | None) -> list[str]:
    """in = kept + dropped + failed; a line for each input that gave no readable record.

    Raises UserError when no input gave one: an empty or broken file among good ones must not cost the run.
    """
    counts = numbers.counts
    if counts["in"] != counts["kept"] + counts["dropped"] + counts["failed"]:
        raise AssertionError(f"documents lost: {dict(counts)}")
    told: list[str] = []
    for number, argument in enumerate(plan.arguments):
        if limit is not None and str(number) not in numbers.arguments and number:
            continue  # the limit came before this input
        seen = numbers.arguments.get(str(number), {})
        if not any(part.argument == number for unit in plan.units for part in unit):
            continue  # all its files also belong to an earlier input
        if seen.get("in", 0) == seen.get("failed", 0):
            told.append(
                f"(no readable record in input {shown(argument)}): {_first_failure(numbers, argument)}"
            )
    if told and counts["in"] == counts["failed"]:
        raise UserError(
            f"입력에서 한 건도 읽지 못했습니다 {told[0]}",
            "본문 열쇠는 --text-field, 꼴은 --source 로 고릅니다; kodata inspect 로 보십시오 (choose text key or form; look with inspect)",
        )
    return [f"경고: 한 건도 읽지 못한 입력 {line}" for line in told]


def _first_failure(numbers: Any, argument: str) -> str:
    """Where and why the first record of an input could not be read."""
    name = shown(argument).rstrip("/")
    for failure in numbers.failures:
        if failure["file"].startswith(name):
            place = f":{failure['place']}" if failure["place"] else ""
            return f"{failure['file']}{place}: {failure['reason']}"
    return "기록이 없음 (no record)"


def _join_failures(folder: Path, units: int) -> int:
    """failed.jsonl from the units' own, in order; the number of lines."""
    from kodata.doc import read_records
    from kodata.run.files import atomic_open

    files = [
        file for i in range(units) if (file := folder / "work" / "failed" / f"{i:05d}.jsonl.zst").exists()
    ]
    if not files:
        return 0
    count = 0
    with atomic_open(folder / "failed.jsonl", "w") as handle:
        for file in files:
            for _, record in read_records(file):
                handle.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
    return count


def _dry_run(plan: Any, config: CleanConfig, files: list[Any], workers: int, output: Path) -> Result:
    """Clean a few documents from all over the inputs in memory and say what the whole would take."""
    from kodata.pipeline.cleaner import Cleaner
    from kodata.pipeline.summary import plan_lines
    from kodata.pipeline.unit import batches, records
    from kodata.sources import read

    cleaner = Cleaner(config, plan)
    units = plan.units[:: max(1, len(plan.units) // 8)]
    started = time.perf_counter()
    for unit in units:
        items = records(unit, read, plan, config.max_chars, cleaner.numbers.counts)
        for batch, failure in batches(islice(items, DRY_DOCUMENTS // len(units))):
            cleaner.clean(batch)
            if failure:
                cleaner.failed(*failure)
    seconds = time.perf_counter() - started
    lines, facts = plan_lines(cleaner.numbers, plan, len(files), seconds, workers, output)
    return Result(path=None, summary=facts, lines=lines)
