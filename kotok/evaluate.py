"""`kotok eval`: tokenizers side by side on the same texts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_open
from kodata.run.flags import Flat, Fresh, Limit, Parameter, Seed, Workers, worker_count
from kodata.run.folder import open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kotok.comparison import Compared, told
from kotok.conllu import gold_of, read_conllu
from kotok.foreign import open_any
from kotok.gguf import pattern_name
from kotok.holdout import check_share, held_out, holdout_key
from kotok.judged import Judged
from kotok.measure import Gold, Measured, bootstrap, encode_speed, hangul_places, measure
from kotok.records import Text, input_files, train_texts
from kotok.vocabulary import suspicious, syllables_whole


@dataclass(kw_only=True, slots=True)
class EvalConfig:
    """What is measured on."""

    val: float = 0.0
    """0보다 크면 이 비율로 떼어 둔 문서만, kotok train --val 과 같은 규칙 (above 0: only the documents held out by this share)"""
    max_chars: int = 4_000_000
    """최대 글자 수, 문서는 아이디 해시로 고름 (at most this many characters, chosen by hash of the id)"""
    kiwi_chars: int = 200_000
    """Kiwi와 비교할 글자 수, 0 = 하지 않음 (characters compared with Kiwi, 0 = none)"""
    times: int = 1000
    """신뢰 구간용 부트스트랩 횟수, 0 = 하지 않음 (bootstrap draws for confidence intervals, 0 = none)"""
    curve: bool = False
    """어휘 크기별 압축률 곡선도 (also the length with the vocabulary cut down, a curve)"""

    def __post_init__(self) -> None:
        check_share(self.val)
        if self.max_chars < 1 or self.kiwi_chars < 0 or self.times < 0:
            raise UsageError(
                f"글자 수는 0보다 큽니다 (must be positive): --max-chars {self.max_chars}, --kiwi-chars {self.kiwi_chars}, --times {self.times}"
            )


def evaluate(
    tokenizers: Annotated[
        list[str],
        Parameter(
            help="토크나이저: 폴더, tokenizer.json, .tiktoken, tekken.json, .model, .gguf; 이름=경로 로 이름을 붙임 "
            "(tokenizers of any make, NAME=PATH to name one)",
            negative=(),
        ),
    ],
    /,
    *,
    on: Annotated[
        list[str],
        Parameter(name=["--on"], consume_multiple=True, negative=(), help="측정할 글 (texts to measure on)"),
    ],
    gold: Annotated[
        list[str] | None,
        Parameter(
            name=["--gold"],
            consume_multiple=True,
            negative=(),
            help="사람이 나눈 형태소: UD 한국어 .conllu (morphemes cut by people: UD Korean treebanks)",
        ),
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="출력 폴더 (output folder, optional)")
    ] = None,
    config: Annotated[EvalConfig | None, Flat] = None,
    limit: Limit = None,
    workers: Workers = 0,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> Result:
    """토크나이저 비교 (compare tokenizers).

    Characters and bytes per token, tokens per eojeol, eojeols left whole, boundary precision / recall / F1 between
    Hangul syllables against Kiwi (agreement with an analyser, not truth; every-syllable cutting scores F1 .6) and
    against people's morphemes, Rényi efficiency, unused and suspicious tokens, syllables that are one token, texts not
    given back by decoding, encoding speed; all, and by kind or source, with 95 % intervals from drawing documents anew.

    Raises:
        UserError: a tokenizer or input is missing or not understood, or there is nothing to measure.
    """
    config = config or EvalConfig()
    files = input_files(on)
    named = _load_all(tokenizers)
    treebanks = [Path(item) for item in gold or []]
    for path in treebanks:
        if not path.is_file():
            raise UserError(f"파일이 없습니다 (no such file): {path}", "경로를 확인하십시오 (check the path)")
    if output is None:
        return told(_compare(named, files, treebanks, config, limit, worker_count(workers), seed))
    settings = {
        **asdict(config),
        "limit": limit,
        "tokenizers": {name: t.fingerprint for name, t in named.items()},
    }
    inputs = [*files, *treebanks]
    with open_run(
        output, tool="kotok", verb="eval", config=settings, inputs=inputs, seed=seed, fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        made = told(_compare(named, files, treebanks, config, limit, worker_count(workers), seed))
        from kodata.report.markdown import render

        with atomic_open(run.path / "report.md", "w") as handle:
            handle.write(render("kotok eval", made.report))
        return run.finish(summary=made.summary, report=made.report, lines=made.lines)


def _load_all(items: Sequence[str]) -> dict[str, Judged]:
    named: dict[str, Judged] = {}
    for item in items:
        name, _, rest = item.partition("=")
        path = Path(rest) if rest and not Path(item).exists() else Path(item)
        if path == Path(item):
            plain = path.name in ("tokenizer.json", "tokenizer.model", "tekken.json")
            name = path.resolve().parent.name if plain else path.name
        while name in named:
            name += "'"
        named[name] = open_any(path)
    if not named:
        raise UsageError("토크나이저를 하나 이상 주십시오 (give at least one tokenizer)")
    return named


def _compare(
    named: dict[str, Judged],
    files: Sequence[Path],
    treebanks: Sequence[Path],
    config: EvalConfig,
    limit: int | None,
    workers: int,
    seed: int,
) -> list[Compared]:
    """Everything measured, a tokenizer each."""
    texts = _texts(files, config, limit)
    if not texts:
        raise UserError(
            "측정할 글이 없습니다 (no text to measure on)",
            "--on 과 --val, --limit 를 확인하십시오 (check --on, --val, --limit)",
        )
    human, unplaced = _human(treebanks)
    kiwi = _gold(texts, config.kiwi_chars, workers)
    out = []
    with progress("재기 (measuring)", total=len(named), unit="토크나이저") as bar:
        for name, tokenizer in named.items():
            measured = measure(tokenizer, texts, kiwi)
            people = measure(tokenizer, [("human", text) for text in human], human) if human else None
            out.append(
                Compared(
                    name=name,
                    tokenizer=tokenizer,
                    measured=measured,
                    people=people,
                    unplaced=unplaced,
                    speed=encode_speed(tokenizer, [text for _, text in texts]),
                    syllables=syllables_whole(tokenizer),
                    suspicious=suspicious(tokenizer),
                    curve=_curve(tokenizer, [text for _, text in texts]) if config.curve else [],
                )
            )
            bar.advance(1)
    if config.times:
        _resample(out, config.times, seed)
    return out


FEWEST = 5
"""Texts a group needs for an interval: drawing anew from fewer says nothing."""


def _resample(compared: Sequence[Compared], times: int, seed: int) -> None:
    """Fill in the resampled rates: of all texts, of each group, of the sentences with people's morphemes."""
    first = compared[0].measured
    for c, made in zip(compared, bootstrap([c.measured.rows for c in compared], seed, times), strict=True):
        c.draws[""] = made
    for group in dict.fromkeys(first.names):
        where = [n for n, name in enumerate(first.names) if name == group]
        if len(where) < FEWEST:
            continue
        drawn = bootstrap([c.measured.rows[where] for c in compared], seed, times)
        for c, made in zip(compared, drawn, strict=True):
            c.draws[group] = made
    people: list[Measured] = [c.people for c in compared if c.people is not None]
    if people:
        drawn = bootstrap([p.rows for p in people], seed, times)
        for c, made in zip(compared, drawn, strict=True):
            c.draws["human gold"] = made


CURVE = tuple(1 << n for n in range(10, 20))


def _curve(tokenizer: Judged, texts: Sequence[str]) -> list[tuple[int, float]]:
    """(vocabulary, characters per token) with only the first merges of a byte-level BPE of ours, and with all of them.

    Of the staged kind this is the vocabulary cut down, not one trained at that size: its early merges are the ones
    inside morphemes.
    """
    from kotok.tokenizer import Tokenizer, build

    chars = sum(map(len, texts))
    points = []
    if isinstance(tokenizer, Tokenizer) and tokenizer.merges is not None:
        pattern = pattern_name(tokenizer.spec) or "llama-bpe"
        for size in CURVE:
            kept = [m for m in tokenizer.merges if m[2] < size - len(tokenizer.control)]
            if size < tokenizer.vocab_size:
                points.append((size, chars / max(len(build(kept, pattern).encode_flat(texts)[0]), 1)))
    points.append((tokenizer.vocab_size, chars / max(len(tokenizer.encode_flat(texts)[0]), 1)))
    return points


def _human(treebanks: Sequence[Path]) -> tuple[dict[str, Gold], float]:
    """Gold of all treebanks, and the share of eojeols with Hangul that have no places."""
    sentences = [s for path in treebanks for s in read_conllu(path)]
    eojeols = sum(s.eojeols for s in sentences)
    return gold_of(sentences), sum(s.unplaced for s in sentences) / max(eojeols, 1)


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


def _gold(texts: Sequence[tuple[str, str]], chars: int, workers: int) -> dict[str, Gold]:
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
    return {
        text: (np.array(sorted(places), dtype=np.int64), hangul_places(text))
        for text, places in zip(chosen, text_boundaries(kiwi, chosen), strict=True)
    }
