"""`kotok eval`: tokenizers side by side on the same texts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from kodata.run.errors import UsageError, UserError
from kodata.run.flags import Flat, Fresh, Limit, Parameter, Workers, worker_count
from kodata.run.folder import open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kotok.holdout import check_share, held_out, holdout_key
from kotok.records import Text, input_files, train_texts
from kotok.tokenizer import Tokenizer, load, show


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """What is measured on."""

    val: float = 0.0
    """0보다 크면 이 몫으로 떼어 둔 문서에서만, kotok train --val 과 같은 규칙 (above 0: only the documents held out by this share)"""
    max_chars: int = 4_000_000
    """이만큼까지만, 아이디 해시로 고름 (at most this many characters, chosen by hash of the id)"""
    kiwi_chars: int = 200_000
    """Kiwi와 견줄 글자 수, 0 = 안 함 (characters compared with Kiwi, 0 = none)"""

    def __post_init__(self) -> None:
        check_share(self.val)
        if self.max_chars < 1 or self.kiwi_chars < 0:
            raise UsageError(
                f"글자 수는 0보다 큽니다 (must be positive): --max-chars {self.max_chars}, --kiwi-chars {self.kiwi_chars}"
            )


def evaluate(
    tokenizers: Annotated[
        list[str], Parameter(help="토크나이저 폴더들 (tokenizer folders, Hugging Face's too)", negative=())
    ],
    /,
    *,
    on: Annotated[
        list[str],
        Parameter(name=["--on"], consume_multiple=True, negative=(), help="재어 볼 글 (texts to measure on)"),
    ],
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="출력 폴더 (output folder, optional)")
    ] = None,
    config: Annotated[EvalConfig | None, Flat] = None,
    limit: Limit = None,
    workers: Workers = 0,
    fresh: Fresh = False,
) -> Result:
    """토크나이저 비교 (compare tokenizers).

    Characters and bytes per token, tokens per eojeol, eojeols left whole, boundary precision / recall / F1 between
    Hangul syllables against Kiwi (agreement with an analyser, not truth; every-syllable cutting scores F1 .6), Rényi
    efficiency, unused ids, texts not given back by decoding, encoding speed; all, and by kind or source.

    Raises:
        UserError: a tokenizer or input is missing or not understood, or there is nothing to measure.
    """
    config = config or EvalConfig()
    files = input_files(on)
    named = _load_all(tokenizers)
    if output is None:
        return _result(named, files, config, limit, worker_count(workers))
    settings = {
        **asdict(config),
        "limit": limit,
        "tokenizers": {name: t.fingerprint for name, t in named.items()},
    }
    with open_run(output, tool="kotok", verb="eval", config=settings, inputs=files, fresh=fresh) as run:
        if run.done:
            return run.result()
        made = _result(named, files, config, limit, worker_count(workers))
        return run.finish(summary=made.summary, report=made.report, lines=made.lines)


def _load_all(paths: Sequence[str]) -> dict[str, Tokenizer]:
    named: dict[str, Tokenizer] = {}
    for item in paths:
        path = Path(item)
        name = path.name if path.name != "tokenizer.json" else path.resolve().parent.name
        while name in named:
            name += "'"
        named[name] = load(path)
    return named


def _result(
    named: dict[str, Tokenizer], files: Sequence[Path], config: EvalConfig, limit: int | None, workers: int
) -> Result:
    from kotok.measure import Measured, encode_speed, measure

    texts = _texts(files, config, limit)
    if not texts:
        raise UserError(
            "재어 볼 글이 없습니다 (no text to measure on)",
            "--on 과 --val, --limit 를 확인하십시오 (check --on, --val, --limit)",
        )
    gold = _gold(texts, config.kiwi_chars, workers)
    measured: dict[str, Measured] = {}
    speeds: dict[str, float] = {}
    with progress("재기 (measuring)", total=len(named), unit="토크나이저") as bar:
        for name, tokenizer in named.items():
            speeds[name] = encode_speed(tokenizer, [text for _, text in texts])
            measured[name] = measure(tokenizer, texts, gold)
            bar.advance(1)
    return _told(named, measured, speeds)


def _texts(files: Sequence[Path], config: EvalConfig, limit: int | None) -> list[tuple[str, str]]:
    """(group, text): at most `max_chars`, chosen by hash, so that the choice knows no order."""
    share = 1.0
    kept: list[tuple[str, str, str]] = []
    chars = 0

    def documents() -> Iterator[Text]:
        for file in files:
            for document in train_texts(file):
                if document.text and (
                    config.val == 0 or held_out(holdout_key(document.id, document.meta), config.val)
                ):
                    yield document

    for number, document in enumerate(documents()):
        if limit is not None and number >= limit:
            break
        if not held_out("eval:" + document.id, share):
            continue
        kept.append((document.id, str(document.meta.get("kind") or document.source), document.text))
        chars += len(document.text)
        while chars > config.max_chars and len(kept) > 1:
            share /= 2
            kept = [item for item in kept if held_out("eval:" + item[0], share)]
            chars = sum(len(text) for _, _, text in kept)
    return [(group, text) for _, group, text in kept]


def _gold(texts: Sequence[tuple[str, str]], chars: int, workers: int) -> dict[str, list[int]]:
    """Kiwi's morpheme beginnings for a sample of the texts, taken in turn from every group."""
    if chars == 0:
        return {}
    from kotok.kiwi import load_kiwi, text_boundaries

    queues: dict[str, list[str]] = {}
    for group, text in texts:
        queues.setdefault(group, []).append(text)
    chosen: list[str] = []
    room = chars
    while room > 0 and any(queues.values()):
        for queue in queues.values():
            if queue and room > 0:
                text = queue.pop(0)
                if len(text) <= max(chars // 10, 2000):
                    chosen.append(text)
                    room -= len(text)
    kiwi = load_kiwi(workers)
    return {text: sorted(places) for text, places in zip(chosen, text_boundaries(kiwi, chosen), strict=True)}


COLUMNS = {
    "chars_per_token": "글자/토큰 (chars per token)",
    "bytes_per_token": "바이트/토큰 (bytes per token)",
    "tokens_per_eojeol": "토큰/어절 (tokens per eojeol)",
    "whole_eojeols": "온 어절 (whole eojeols)",
    "boundary_precision": "경계 정밀도 (boundary P)",
    "boundary_recall": "재현율 (R)",
    "boundary_f1": "F1",
}


def _told(named: dict[str, Tokenizer], measured: dict[str, Any], speeds: dict[str, float]) -> Result:
    from kodata.report import blocks
    from kotok.train import SENTENCES

    summary: dict[str, Any] = {"tokenizers": {}}
    rows, lines = [], []
    for name, tokenizer in named.items():
        m = measured[name]
        total = m.total
        control = len(tokenizer.control)
        unused = int((m.uses == 0).sum()) - control
        facts = {
            "vocab_size": tokenizer.vocab_size,
            "kind": tokenizer.kind,
            **total.rates(),
            "renyi": m.renyi(),
            "unused": unused,
            "texts": total.texts,
            "round_trip_failures": total.lost,
            "encode_mb_per_second": speeds[name],
            "groups": {group: {"chars": c.chars, **c.rates()} for group, c in sorted(m.groups.items())},
        }
        summary["tokenizers"][name] = facts
        rows.append(
            [
                name,
                tokenizer.vocab_size,
                *(_round(facts[k]) for k in COLUMNS),
                _round(facts["renyi"]),
                unused,
                total.lost,
                round(speeds[name], 2),
            ]
        )
    columns = [
        "토크나이저 (tokenizer)",
        "어휘 (vocabulary)",
        *COLUMNS.values(),
        "레니 효율 (Rényi)",
        "안 쓴 번호 (unused ids)",
        "못 되돌린 글 (not given back)",
        "인코딩 MB/s (one thread)",
    ]
    groups = sorted({g for m in measured.values() for g in m.groups})
    by_group = [
        [group, *(_round(measured[name].groups[group].rates()["chars_per_token"]) for name in named)]
        for group in groups
    ]
    first = next(iter(measured.values())).total
    note = f"글 (texts) {first.texts:,}, 글자 (characters) {first.chars:,}. 경계는 Kiwi와의 일치이지 정답이 아님 (agreement with Kiwi, not truth)."
    report = [
        blocks.table("비교 (comparison)", columns, rows, note),
        blocks.table(
            "종류·출처별 글자/토큰 (characters per token by kind or source)",
            ["종류 (kind)", *named],
            by_group,
        ),
    ]
    for sentence in SENTENCES:
        report.append(
            blocks.tokens(
                "같은 문장 (the same sentence)",
                [
                    {
                        "label": name,
                        "tokens": [(show(t.token(i)), n % 6) for n, i in enumerate(t.encode(sentence))],
                    }
                    for name, t in named.items()
                ],
            )
        )
    width = max(len(name) for name in named)
    short = ["c/t", "B/t", "t/eoj", "whole", "P", "R", "F1", "Rényi", "unused", "lost", "MB/s"]
    lines.append(" " * width + "  " + "".join(f"{c:>9}" for c in ["vocab", *short]))
    for row in rows:
        lines.append(f"{row[0]:<{width}}  " + "".join(f"{'-' if v is None else v:>9}" for v in row[1:]))
    lines.append(note)
    return Result(summary=summary, report=report, lines=lines)


def _round(value: float) -> float | None:
    return None if value != value else round(value, 4)
