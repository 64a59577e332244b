"""kodata mix: one training corpus from several, in stated shares, with score cuts and repeats, in a seeded order.

A document's place in the order, and whether it is among those taken when a group is larger than its share, follow from a
hash of (seed, id, copy) alone. So the result does not depend on how inputs are cut into shards, and a run that was killed goes on.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import orjson

from kodata.doc import Corpus, Document, read_shard, write_shard
from kodata.mix_report import lines_of, report_of, summary_of
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Output, Parameter, Seed
from kodata.run.folder import RunFolder, open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kodata.score.sidecar import Scores

SHARD_CHARS = 20_000_000
"""Characters of an output shard: what is sorted in memory at a time."""
DEALT_BYTES = 1 << 16
"""Bytes gathered for a shard before its file is opened: thousands of shards would be too many open files."""
MOST_REPEATS = 100
"""No document is worth more repeats; `meta.repeat` comes from a file."""

ScoreFolders = Annotated[
    list[Path] | None,
    Parameter(
        help="점수 폴더, 입력마다 하나씩 (score folders, one for each input)",
        consume_multiple=True,
        negative=(),
    ),
]


@dataclass(kw_only=True, slots=True)
class MixConfig:
    """What the mixture is made of."""

    weights: dict[str, float] = field(default_factory=dict)
    """묶음마다 글자 수의 몫, 없으면 있는 그대로: --weights.wiki 0.4 (share of characters of each group; none: as they are)"""
    by: Literal["input", "source", "kind"] = "input"
    """묶음: 입력 이름, 원천, 갈래 (groups: name of the input, source, or kind)"""
    chars: int = 0
    """모두 몇 글자, 0 = 몫이 허락하는 만큼 (characters in all, 0 = as many as the shares allow)"""
    repeat: float = 1.0
    """한 묶음을 많아야 몇 번 돌지 (most passes over a group)"""
    rehydrate: bool = False
    """kodata dedup --rehydrate 의 반복 수를 따름 (follow the repeats written by kodata dedup --rehydrate)"""
    min_score: dict[str, float] = field(default_factory=dict)
    """점수의 하한: --min-score.quality 0.5 (lowest score that is taken)"""

    def __post_init__(self) -> None:
        numbers = {**self.weights, "repeat": self.repeat, **self.min_score}
        if not all(map(math.isfinite, numbers.values())):
            raise UsageError(
                f"유한한 수여야 합니다 (numbers must be finite): {numbers}",
                help="--weights.wiki 0.4 --repeat 1",
            )
        if any(w < 0 for w in self.weights.values()) or (self.weights and not sum(self.weights.values())):
            raise UsageError(
                f"--weights 는 0 이상이고 모두 0일 수는 없습니다 (must be 0 or more, not all 0): {self.weights}",
                help="--weights.wiki 0.4 --weights.web 0.6",
            )
        if self.chars < 0:
            raise UsageError(f"--chars 는 0 이상입니다 (must be 0 or more): {self.chars}", help="--chars 0")
        if self.repeat <= 0:
            raise UsageError(
                f"--repeat 는 0보다 커야 합니다 (must be above 0): {self.repeat}", help="--repeat 1"
            )


@dataclass(slots=True)
class Pool:
    """All documents that may be taken, without their texts."""

    groups: list[str]
    group: np.ndarray
    """Index into groups, -1 for a document under a score cut."""
    chars: np.ndarray
    times: np.ndarray
    """How often a document counts in one pass (rehydration)."""
    ids: list[str]
    cut: Counter[str]
    """Documents under a score cut, by group."""


def mix(
    inputs: Inputs,
    /,
    *,
    output: Output,
    scores: ScoreFolders = None,
    config: Annotated[MixConfig | None, Flat] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """여러 말뭉치를 몫대로 섞기 (mix corpora into one in stated shares).

    Whole documents are taken until a group has its share of characters. A group smaller than its share is gone over
    again, up to `repeat` times; if that is not enough the run stops and says what would be. Copies beyond the first get
    `#2`, `#3` … behind their id and `meta.copy`. The output is a corpus folder in a seeded order.

    Raises UserError: a weight for a group that is not there or a group without weight; a share that cannot be filled;
    scores of other documents.
    """
    config = config or MixConfig()
    check_names(inputs, config)
    corpora = [Corpus(path) for path in inputs]
    if scores is not None and len(scores) != len(corpora):
        raise UsageError(
            f"입력 {len(corpora)}개에 점수 {len(scores)}개입니다 (one score folder for each input)",
            help="kodata mix A B --scores A.scores B.scores",
        )
    if config.min_score and scores is None:
        raise UsageError(
            "--min-score 에는 --scores 가 필요합니다 (--min-score needs --scores)", help="--scores DIR"
        )
    beside = (
        [Scores(folder, corpus) for folder, corpus in zip(scores, corpora, strict=True)] if scores else None
    )
    if dry_run:
        pool = survey(corpora, beside, inputs, config)
        quota, _ = shares(pool, config)
        summary = summary_of(pool, quota, Counter(), Counter())
        told = ["시험 실행: 아무것도 쓰지 않았습니다 (dry run, nothing written)", *lines_of(summary)]
        return Result(summary=summary, lines=told)
    read = [Path(p) for p in inputs] + list(scores or [])
    settings = asdict(config)
    output = Path(output)
    found = None
    if fresh or not output.exists():  # a refusal leaves nothing behind, and the old output alone
        found = survey(corpora, beside, inputs, config)
        shares(found, config)
    with open_run(
        output, tool="kodata", verb="mix", config=settings, inputs=read, seed=seed, fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        pool = found or survey(corpora, beside, inputs, config)
        quota, _ = shares(pool, config)
        taken = choose(pool, quota, seed)
        if not any(taken):
            raise UserError(
                "섞을 문서가 없습니다 (no document to mix)",
                help="--min-score 를 낮추십시오 (lower --min-score)",
            )
        chars, documents = _write(run, corpora, pool, taken, seed)
        summary = summary_of(pool, quota, chars, documents)
        return run.finish(summary=summary, report=report_of(summary), lines=lines_of(summary))


# ---- what there is ------------------------------------------------------------------------------


def survey(corpora: list[Corpus], beside: list[Scores] | None, inputs: list[str], config: MixConfig) -> Pool:
    """Read everything once."""
    names: dict[str, int] = {}
    group: list[int] = []
    chars: list[int] = []
    times: list[int] = []
    ids: list[str] = []
    cut: Counter[str] = Counter()
    with progress("살펴봄 (survey)", unit="문서") as bar:
        for number, corpus in enumerate(corpora):
            for index, shard in enumerate(corpus.shards()):
                documents = list(read_shard(shard))
                rows: Iterator[dict[str, float]] = iter([{}] * len(documents))
                if beside:
                    rows = beside[number].beside(index, (d.id for d in documents))
                for document, row in zip(documents, rows, strict=True):
                    name = group_of(document, inputs[number], config.by)
                    low = below(row, config.min_score)
                    cut[name] += low
                    index_of = names.setdefault(name, len(names))  # also of a group that is all below the cut
                    group.append(-1 if low else index_of)
                    chars.append(len(document.text))
                    times.append(repeats_of(document, shard) if config.rehydrate else 1)
                    ids.append(document.id)
                bar.advance(len(documents))
    return Pool(list(names), np.array(group), np.array(chars), np.array(times), ids, cut)


def check_names(inputs: list[str], config: MixConfig) -> None:
    """Refuse an input given twice (its ids would stand twice), and weights for inputs that have one name."""
    places = [Path(p).resolve() for p in inputs]
    if len(set(places)) < len(places):
        raise UsageError(
            f"같은 입력이 두 번 있습니다 (an input is given twice): {' '.join(map(str, inputs))}",
            help="여러 번 돌려면 --repeat (use --repeat to go over it again)",
        )
    names = [p.name for p in places]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and config.by == "input" and config.weights:
        raise UsageError(
            f"이름이 같은 입력의 몫을 가를 수 없습니다 (inputs of one name cannot have weights of their own): {', '.join(twice)}",
            help="--by source, 또는 폴더 이름을 바꾸십시오 (or rename a folder)",
        )


def repeats_of(document: Document, shard: Path) -> int:
    """`meta.repeat` of a document, 1 without one. Raises UserError for anything but a number of 1 to MOST_REPEATS."""
    value = document.meta.get("repeat", 1)
    if type(value) is not int or not 1 <= value <= MOST_REPEATS:
        raise UserError(
            f"meta.repeat 는 1에서 {MOST_REPEATS} 사이의 정수입니다 (must be a whole number): {str(value)[:40]}: {document.id}",
            help="kodata dedup --rehydrate 로 적거나 --rehydrate 를 빼십시오 (written by kodata dedup --rehydrate)",
            file=shard,
        )
    return value


def group_of(document: Document, given: str, by: str) -> str:
    """The group a document counts for."""
    if by == "input":
        path = Path(given)
        return path.name.split(".")[0] or str(path)
    return document.source if by == "source" else str(document.meta.get("kind") or "")


def below(row: dict[str, float], least: dict[str, float]) -> bool:
    """Whether a score is under its cut. Raises UserError for a score that is not there."""
    for name, value in least.items():
        if name not in row:
            raise UserError(
                f"점수가 없습니다 (no such score): {name}, 있는 것 (present): {', '.join(sorted(row))}",
                help=f"kodata score … --by {name}",
            )
        if not row[name] >= value:  # NaN counts as below
            return True
    return False


# ---- how much of each ---------------------------------------------------------------------------


def shares(pool: Pool, config: MixConfig) -> tuple[dict[str, float], float]:
    """({group: characters to take}, characters in all).

    Raises:
        UserError: weights and groups that do not match; a share that `repeat` passes cannot fill.
    """
    present = pool.group >= 0
    sizes = pool.chars * pool.times
    have = {name: float(sizes[present & (pool.group == i)].sum()) for i, name in enumerate(pool.groups)}
    weights = config.weights or dict(have)
    odd = sorted(set(weights) - set(have)), sorted(set(have) - set(weights))
    if any(odd):
        raise UserError(
            f"몫과 묶음이 맞지 않습니다 (weights and groups differ): 없는 묶음 (unknown) {odd[0]}, 몫 없는 묶음 (without weight) {odd[1]}",
            help=f"묶음 (groups): {', '.join(sorted(have))}; 빼려면 0 (0 leaves a group out)",
        )
    whole = sum(weights.values())
    weights = {name: w / whole for name, w in weights.items()}
    most = min((have[n] * config.repeat / w for n, w in weights.items() if w), default=0.0)
    total = config.chars or most
    if total > most * (1 + 1e-9):
        short = min((n for n, w in weights.items() if w), key=lambda n: have[n] / weights[n])
        needed = total * weights[short] / max(have[short], 1.0)
        raise UserError(
            f"'{short}' 가 모자랍니다: {total * weights[short]:,.0f}자 필요, {have[short]:,.0f}자 있음 × --repeat {config.repeat:g} "
            "(this group is too small for its share)",
            help=f"--chars {int(most)} 이하로 하거나 --repeat {needed:.2f} 이상으로 (fewer characters, or more passes)",
        )
    return {name: total * w for name, w in weights.items()}, total


def choose(pool: Pool, quota: dict[str, float], seed: int) -> list[int]:
    """How often each document is taken: whole passes first, then in hash order until the group has its share.

    The document that would cross the share is left out if that is nearer to it.
    """
    taken = np.zeros(len(pool.ids), np.int64)
    for index, name in enumerate(pool.groups):
        members = np.flatnonzero(pool.group == index)
        size = int((pool.chars[members] * pool.times[members]).sum())
        if not size:
            continue
        passes = int(quota[name] / size + 1e-9)
        taken[members] = pool.times[members] * passes
        left = quota[name] - passes * size
        copies = [(hashed(seed, f"{pool.ids[m]}#{c}"), m) for m in members for c in range(pool.times[m])]
        for _, member in sorted(copies):
            if pool.chars[member] > 2 * left:
                continue
            taken[member] += 1
            left -= int(pool.chars[member])
            if left <= 0:
                break
    return taken.tolist()


def hashed(seed: int, word: str) -> int:
    """A 64-bit number from seed and word."""
    return int.from_bytes(
        blake2b(f"{seed}\0{word}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


# ---- writing ------------------------------------------------------------------------------------


def _write(
    run: RunFolder, corpora: list[Corpus], pool: Pool, taken: list[int], seed: int
) -> tuple[Counter[str], Counter[str]]:
    """Deal copies out to shards by their place in the order, then sort each shard; (characters, documents) by group."""
    total = sum(n * int(c) for n, c in zip(taken, pool.chars, strict=True))
    count = max(1, -(-total // SHARD_CHARS))
    docs, work = run.path / "docs", run.path / "work"
    docs.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    chars: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for n, size, group in zip(taken, pool.chars.tolist(), pool.group.tolist(), strict=True):
        if n:
            chars[pool.groups[group]] += n * size
            documents[pool.groups[group]] += n
    dealt = work / "dealt"
    if not dealt.exists():
        _deal(corpora, taken, seed, work, count)
        dealt.touch()
    with progress("섞어 씀 (writing)", total=count, unit="조각") as bar:
        for index in range(count):
            target = docs / f"{index:05d}.jsonl.zst"
            if not target.exists():
                _sort(work / f"{index:05d}.jsonl", target)
            bar.advance(1)
    for index in range(count):
        (work / f"{index:05d}.jsonl").unlink(missing_ok=True)
    dealt.unlink()
    work.rmdir()
    return chars, documents


def _deal(corpora: list[Corpus], taken: list[int], seed: int, work: Path, count: int) -> None:
    files = [work / f"{index:05d}.jsonl" for index in range(count)]
    waiting = [bytearray() for _ in files]
    for file in files:
        file.write_bytes(b"")
    row = -1
    with progress("나눔 (dealing)", total=len(taken), unit="문서") as bar:
        for corpus in corpora:
            for document in corpus:
                row += 1
                bar.advance(1)
                for copy in range(1, taken[row] + 1):
                    place = hashed(seed, f"{document.id}#{copy}#order")
                    record = document.to_dict()
                    if copy > 1:
                        record["id"] = f"{document.id}#{copy}"
                        record["meta"] = {**document.meta, "copy": copy}
                    line = orjson.dumps([f"{place:016x}", record], option=orjson.OPT_APPEND_NEWLINE)
                    index = place * count >> 64
                    waiting[index] += line
                    if len(waiting[index]) >= DEALT_BYTES:
                        _append(files[index], waiting[index])
    for file, rest in zip(files, waiting, strict=True):
        _append(file, rest)


def _append(file: Path, data: bytearray) -> None:
    """Write what was gathered to the end of a file and forget it."""
    with open(file, "ab") as handle:
        handle.write(data)
    data.clear()


def _sort(source: Path, target: Path) -> None:
    with open(source, "rb") as handle:
        rows = [orjson.loads(line) for line in handle]
    rows.sort(key=lambda row: (row[0], row[1]["id"]))
    with write_shard(target) as out:
        for _, record in rows:
            out.write(record)
