"""`kotok train`: from a corpus to a tokenizer folder."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from kodata.run.errors import UsageError, UserError
from kodata.run.flags import DryRun, Flat, Fresh, Inputs, Limit, Output, Parameter, Workers, worker_count
from kodata.run.folder import RunFolder, open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kotok.bpe import Merge, pack_words, train_merges
from kotok.holdout import DEFAULT_SHARE, check_share, held_out, holdout_key
from kotok.pattern import Pattern, training_words
from kotok.records import Text, input_files, train_texts
from kotok.template import TEMPLATES, Template, header_texts
from kotok.tokenizer import Tokenizer, build
from kotok.tokenizer_json import CONTROL
from kotok.vocab_size import SMALLEST, check_vocab_size, too_large

Algorithm = Literal["staged-bbpe", "bbpe", "spm-bpe", "spm-unigram", "wordpiece"]
MOST_REPEATS = 100


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """What decides the tokenizer."""

    vocab_size: int = 32_000
    """어휘 크기, 제어 토큰 포함, 64의 배수 (vocabulary size with control tokens, a multiple of 64)"""
    algorithm: Algorithm = "staged-bbpe"
    """학습 방법 (training algorithm)"""
    share: Annotated[float, Parameter(name=["--share", "-t"])] = 0.75
    """형태소 안에서 학습할 병합의 비율, staged-bbpe (share of merges learned inside morphemes)"""
    min_type_count: Annotated[int, Parameter(name=["--min-type-count", "-k"])] = 2
    """이 횟수 이상 나온 어형만 Kiwi로 분석 (word types seen this often are cut by Kiwi)"""
    count_power: float = 0.7
    """어형 빈도의 지수: 1보다 작으면 반복된 표현보다 다양한 표현을 중시 (exponent of word counts: below 1 variety weighs more than repetition)"""
    pattern: Pattern = "llama-bpe"
    """사전 토큰화 규칙, llama.cpp가 아는 것 (pre-tokenizer known to llama.cpp)"""
    template: Template = "bitnet"
    """대화 틀 (chat template)"""
    val: float = DEFAULT_SHARE
    """학습에서 제외할 문서의 비율, kotok encode와 같은 문서 (share held out, the same documents as kotok encode)"""
    sample: float = 1.0
    """읽을 문서의 비율, 아이디 해시로 고름 (share of documents to learn from, chosen by hash)"""
    weights: dict[str, float] = field(default_factory=dict)
    """출처나 종류별 가중치: --weights.wiki 2 는 두 번, 0.5 는 절반만 읽음 (weight of a source or kind: read twice, or half of it)"""
    gguf: bool = False
    """llama.cpp용 vocab.gguf도 저장 (also write vocab.gguf for llama.cpp)"""

    def __post_init__(self) -> None:
        check_share(self.val)
        check_vocab_size(self.vocab_size)
        if not 0 <= self.share <= 1:
            raise UsageError(f"--share 는 0과 1 사이입니다 (must be between 0 and 1): {self.share}")
        if not 0 < self.count_power <= 1:
            raise UsageError(
                f"--count-power 는 0보다 크고 1 이하입니다 (must be above 0, at most 1): {self.count_power}"
            )
        if self.min_type_count < 1:
            raise UsageError(f"--min-type-count 는 1 이상입니다 (must be 1 or more): {self.min_type_count}")
        wrong = {k: w for k, w in self.weights.items() if not 0 <= w <= MOST_REPEATS}
        if wrong:
            raise UsageError(
                f"--weights 는 0과 {MOST_REPEATS} 사이입니다 (must be between 0 and {MOST_REPEATS}): {wrong}"
            )
        if self.gguf and self.algorithm not in ("staged-bbpe", "bbpe"):
            raise UsageError(
                f"--gguf 는 바이트 단위 BPE 에만 됩니다 (byte-level BPE only): {self.algorithm}",
                "--algorithm staged-bbpe",
            )
        if not 0 < self.sample <= 1:
            raise UsageError(
                f"--sample 은 0보다 크고 1 이하입니다 (must be above 0, at most 1): {self.sample}"
            )


def train(
    inputs: Inputs,
    /,
    *,
    output: Output,
    config: Annotated[TrainConfig | None, Flat] = None,
    limit: Limit = None,
    workers: Workers = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """한국어 토크나이저 학습 (train a Korean tokenizer).

    Reads documents (kodata output, JSONL, text files; of chats and pairs the turns), leaves the hold-out of `--val`
    out, and writes a folder that `AutoTokenizer.from_pretrained` opens. The result depends on the documents and the
    config only, not on sharding, order or workers.

    Raises:
        UserError: no input, no text in it, or too little text for the vocabulary (names the largest possible).
    """
    config = config or TrainConfig()
    count = worker_count(workers)
    files = input_files(inputs)
    if dry_run:
        return _plan(files, config)
    with open_run(
        output, tool="kotok", verb="train", config=_settings(config, limit), inputs=files, fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        if run.resuming:
            print(
                "알림: 끝나지 않은 학습을 처음부터 다시 합니다 (training restarts from the beginning)",
                file=sys.stderr,
            )
        if config.algorithm in ("staged-bbpe", "bbpe"):
            made, facts = _train_bbpe(files, config, limit, count)
        else:
            from kotok.other import train_other

            made, facts = train_other(lambda: _documents(files, config, limit), config, run.path)
        made.config["chat_template"] = _chat_template(config.template)
        if config.gguf:
            from kotok.gguf import write_vocabulary

            write_vocabulary(made, run.path / "vocab.gguf")
        made.save(run.path)
        return _finish(run, made, config, facts)


def _settings(config: TrainConfig, limit: int | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(config), "limit": limit}


def _chat_template(name: Template) -> str:
    return TEMPLATES[name].jinja


def _documents(files: list[Path], config: TrainConfig, limit: int | None) -> Iterator[Text]:
    """Documents to learn from: sampled, hold-out left out, at most `limit`, each as often as its weight says.

    A weight of 2.5 reads every document twice and half of them, chosen by hash, a third time. Raises UserError at the
    end for a weight that named nothing.
    """
    taken = 0
    named: set[str] = set()
    sources: dict[str, None] = {}
    for file in files:
        for document in train_texts(file):
            if limit is not None and taken >= limit:
                return
            key = holdout_key(document.id, document.meta)
            if held_out(key, config.val) or (
                config.sample < 1 and not held_out("sample:" + key, config.sample)
            ):
                continue
            taken += 1
            if not config.weights:
                yield document
                continue
            names = (document.source, str(document.meta.get("kind")))
            if len(sources) < 20:
                sources.update(dict.fromkeys(names))
            name = next((n for n in names if n in config.weights), "")
            named.add(name)
            weight = config.weights.get(name, 1.0)
            for _ in range(int(weight) + held_out("weight:" + key, weight % 1)):
                yield document
    unknown = sorted(config.weights.keys() - named)
    if unknown:
        raise UserError(
            f"--weights 의 이름과 같은 출처나 종류가 없습니다 (no such source or kind): {', '.join(unknown)}",
            f"있는 이름 (names there are): {', '.join(sources)}",
        )


def _train_bbpe(
    files: list[Path], config: TrainConfig, limit: int | None, workers: int
) -> tuple[Tokenizer, dict[str, Any]]:
    from kotok.staged import token_count, train_staged
    from kotok.words import WordCounts

    staged = config.algorithm == "staged-bbpe" and config.share > 0
    kiwi = None
    if staged:
        from kotok.kiwi import load_kiwi_early

        kiwi = load_kiwi_early(workers)
    counts = WordCounts(config.pattern)
    with progress("어형 세기 (counting words)", unit="문서") as bar:
        for document in _documents(files, config, limit):
            counts.add(document.text, document.id)
            bar.advance(1, bytes=len(document.text))
    words = counts.words()
    if not counts.chars:
        raise UserError(
            "배울 글이 없습니다 (no text to learn from)",
            "입력과 --val, --limit 를 확인하십시오 (check inputs, --val and --limit)",
        )
    wanted = config.vocab_size - len(CONTROL)
    share = config.share if staged else 0.0
    headers = header_merges(config)
    with progress("병합 학습 (learning merges)", unit="토큰") as bar:
        made = train_staged(
            words,
            wanted,
            share=share,
            min_type_count=config.min_type_count,
            kiwi=kiwi,
            tick=_ticker(bar),
            base=headers,
            power=config.count_power,
        )
        if made.tokens < wanted:
            # Stage sizes follow the vocabulary, so the largest one is tried, not only computed.
            largest = made.tokens
            while True:
                largest = (largest + len(CONTROL)) // 64 * 64 - len(CONTROL)
                if largest + len(CONTROL) < SMALLEST:
                    raise too_large(config.vocab_size, 0)
                again = train_staged(
                    words,
                    largest,
                    share=share,
                    min_type_count=config.min_type_count,
                    kiwi=None,
                    cut=made,
                    base=headers,
                    power=config.count_power,
                )
                if again.tokens >= largest:
                    raise too_large(config.vocab_size, largest + len(CONTROL))
                largest = again.tokens
    facts = {
        "documents": counts.documents,
        "chars": counts.chars,
        "bytes": int(_word_bytes(words)),
        "types": len(words[1]),
        "types_cut": made.cut_types,
        "tokens_inside_morphemes": made.inside,
        "merges": len(made.merges),
        "chars_per_token": round(counts.chars / token_count(words, made.merges, config.pattern), 4),
    }
    return build(made.merges, config.pattern), facts


def header_merges(config: TrainConfig) -> list[Merge]:
    """Merges that make each word of the chat template's headers (`User`, `Assistant`, …) one token.

    They come first and cost some fifteen ids. A small Korean vocabulary would spell these words in letters: twelve to
    fourteen tokens a turn instead of four.
    """
    words = {w: 1 for text in header_texts(config.template) for w in training_words(text, config.pattern)}
    packed = pack_words(list(words), list(words.values()))
    return train_merges(packed, SMALLEST - len(CONTROL), min_count=1, whole_chars=True)


def _word_bytes(words: Any) -> int:
    import numpy as np

    return int((np.diff(words[1].astype(np.int64), prepend=0) * words[2]).sum())


def _ticker(bar: Any) -> Callable[[str, int], None]:
    names = {
        "kiwi": "형태소 (morphemes)",
        "inside": "형태소 안 (inside)",
        "across": "어절 (across)",
        "all": "어절 (words)",
    }

    def tick(stage: str, n: int) -> None:
        if stage == "kiwi":
            bar.advance(0, 단계=names[stage])
        else:
            bar.advance(n - bar.count, 단계=names[stage])

    return tick


def _finish(run: RunFolder, made: Tokenizer, config: TrainConfig, facts: dict[str, Any]) -> Result:
    from kodata.report import blocks
    from kotok.comparison import SENTENCES

    if made.vocab_size != config.vocab_size:
        raise AssertionError(f"{made.vocab_size} ids made, {config.vocab_size} wanted")
    summary = {
        "algorithm": config.algorithm,
        "vocab_size": made.vocab_size,
        "fingerprint": made.fingerprint,
        **facts,
    }
    report: list[dict[str, Any]] = [
        blocks.facts(
            "토크나이저 (tokenizer)",
            {k: f"{v:,}" if isinstance(v, int) else str(v) for k, v in summary.items()},
        ),
        blocks.tokens(
            "같은 문장 (the same sentence)",
            [
                [(made.decode([i]), n % 6) for n, i in enumerate(made.encode(sentence))]
                for sentence in SENTENCES
            ],
        ),
    ]
    lines = [
        f"토크나이저 (tokenizer): {config.algorithm}, 어휘 (vocabulary) {made.vocab_size:,}, "
        f"글자/토큰 (characters per token) {facts['chars_per_token']}",
        f"배운 글 (learned from): 문서 (documents) {facts['documents']:,}, 글자 (characters) {facts['chars']:,}",
    ]
    return run.finish(summary=summary, report=report, lines=lines)


def _plan(files: list[Path], config: TrainConfig) -> Result:
    """Read 200 documents, of every file alike, and say what the whole would take."""
    import time
    from dataclasses import replace
    from itertools import islice

    from kotok.words import WordCounts

    begin = time.monotonic()
    counts = WordCounts(config.pattern)
    sources: dict[str, int] = {}
    plain = replace(config, weights={}, val=0.0, sample=1.0)
    each = max(1, -(-200 // max(len(files), 1)))
    for file in files:
        for document in islice(_documents([file], plain, None), each):
            counts.add(document.text, document.id)
            name = str(document.meta.get("kind") or document.source)
            sources[name] = sources.get(name, 0) + 1
    counts.words()
    seconds = max(time.monotonic() - begin, 1e-3)
    disk = sum(f.stat().st_size for f in files)
    packed = sum(f.stat().st_size * (4 if f.suffix in (".gz", ".zst", ".parquet") else 1) for f in files)
    used = packed * config.sample * (1 - config.val)
    memory = 450 + 2 * (used / 1e6) ** 0.8
    lines = [
        f"계획 (plan): 파일 (files) {len(files)}, 디스크 (on disk) {disk / 1e6:,.1f} MB, 글 약 (text about) {packed / 1e6:,.0f} MB",
        f"표본 (sampling): --sample {config.sample:g}, 남김 (held out) --val {config.val:g}, "
        f"무게 (weights) {config.weights or '모두 1 (all 1)'}: 배울 글 약 (learned from about) {used / 1e6:,.0f} MB",
        f"시험 (tried): 문서 (documents) {counts.documents}, 글자 (characters) {counts.chars:,}, {seconds:.1f} s; "
        f"종류·출처 (kinds or sources) {', '.join(f'{k} {n}' for k, n in list(sources.items())[:12])}",
        f"짐작 (estimate): 시간 약 (time about) {20 + used / 40e6:,.0f} s, 기억 약 (memory about) {memory:,.0f} MB; "
        f"줄이려면 (to reduce) --sample 0.1",
        "아무것도 쓰지 않았습니다 (nothing was written)",
    ]
    summary = {
        "files": len(files),
        "documents_tried": counts.documents,
        "text_bytes": packed,
        "learned_bytes": int(used),
        "memory_mb": round(memory),
        "sources": sources,
    }
    return Result(summary=summary, lines=lines)
