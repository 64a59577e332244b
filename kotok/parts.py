"""The parts of one encoding run: fixed by the input files, done in any order by any number of processes.

Part i writes train/i, val/i and, last, parts/i.json with its counts; a part with that file is done. A killed run
leaves at most temporary files, and a worker whose parent is gone stops at its next batch.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_json, atomic_open, read_json_object
from kotok.chat import Train, template_of, turns_of
from kotok.flat import render_flat
from kotok.holdout import DEFAULT_SHARE, check_share, held_out, holdout_key
from kotok.records import Kind, Text, read_examples, read_texts
from kotok.shard_writer import PartWriter, Split
from kotok.template import Turn
from kotok.tokenizer import Tokenizer, load
from kotok.truncate import NothingToLearn, Truncate, fit

PART_BYTES = 16 << 20
"""Small input files share a part up to this size on disk."""
BATCH_CHARS = 2 << 20
BATCH_EXAMPLES = 2048
MAX_SOURCES = 1000
EXAMPLES_KEPT = 8


@dataclass(kw_only=True, slots=True)
class EncodeConfig:
    """What decides the shards."""

    val: float = DEFAULT_SHARE
    """검증용으로 떼어 둘 비율, kotok train과 같은 문서 (share held out into val/, the same documents as kotok train)"""
    template: str = "saved"
    """대화 틀: saved = 토크나이저의 것, bitnet, instruction, inst, chatml, jinja 파일 (saved = the tokenizer's own, a name or a file)"""
    train: Train = "assistant"
    """학습할 발화: 모든 답변, 마지막 답변, 모든 발화 (what is learned: every answer, the last one, every message)"""
    max_tokens: int | None = None
    """대화 하나의 최대 길이, 토큰 (longest chat, tokens)"""
    truncate: Truncate = "refuse"
    """긴 대화 처리: 거절, 오래된 발화부터 버리기, 왼쪽·오른쪽 자르기 (long chats: refuse, drop oldest turns, cut left or right)"""

    def __post_init__(self) -> None:
        check_share(self.val)
        if self.max_tokens is not None and self.max_tokens < 8:
            raise UsageError(f"--max-tokens 는 8 이상입니다 (must be 8 or more): {self.max_tokens}")


@dataclass(frozen=True, slots=True)
class Job:
    """One part: which files, and how."""

    part: int
    files: tuple[Path, ...]
    size: int
    """Bytes of the files on disk."""
    folder: Path
    kind: Kind
    config: EncodeConfig
    limit: int | None = None


def plan_parts(
    files: Sequence[Path],
    folder: Path,
    kind: Kind,
    config: EncodeConfig,
    tokenizer: Tokenizer,
    limit: int | None,
) -> list[Job]:
    """Parts of about `PART_BYTES` of whole files, in order; with a limit all is one part."""
    groups: list[list[Path]] = []
    room = 0
    for file in files:
        size = file.stat().st_size
        if not groups or (room < size and limit is None):
            groups.append([])
            room = PART_BYTES
        groups[-1].append(file)
        room -= size
    return [
        Job(i, tuple(group), sum(f.stat().st_size for f in group), folder, kind, config, limit)
        for i, group in enumerate(groups)
    ]


def record_path(job: Job) -> Path:
    return job.folder / "parts" / f"{job.part:05d}.json"


def done_parts(jobs: Sequence[Job]) -> dict[int, dict[str, Any]]:
    """Counts of the parts that an earlier run finished."""
    return {job.part: read_json_object(record_path(job)) for job in jobs if record_path(job).is_file()}


# ---------------------------------------------------------------------------------------------------------------------
# Running


def run_parts(
    jobs: Sequence[Job], done: dict[int, dict[str, Any]], workers: int, bar: Any
) -> dict[int, dict[str, Any]]:
    """Do the parts that are not in `done`, in this process or in `workers` processes; returns the counts of all."""
    left = [job for job in jobs if job.part not in done]
    out = dict(done)
    if not left:
        return out
    processes = min(workers, len(left))
    threads = max(1, workers // processes)
    if processes == 1:
        tokenizer = load(left[0].folder / "tokenizer")
        for job in left:
            out[job.part] = encode_part(job, tokenizer, threads, lambda: None, bar)
            bar.advance(job.size / 1e6)
        return out
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(str(left[0].folder / "tokenizer"), os.getpid()),
    )
    try:
        # Largest first, so that no long part is left for the end.
        pending = {pool.submit(_work, job, threads): job for job in sorted(left, key=lambda j: -j.size)}
        while pending:
            finished, _ = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
            for future in finished:
                job = pending.pop(future)
                out[job.part] = future.result()
                bar.advance(job.size / 1e6)
            bar.show()
    except BrokenProcessPool:
        raise UserError(
            "작업 프로세스가 죽었습니다 (a worker process was lost, out of memory?)",
            "같은 명령에 --workers 1 을 더하면 이어집니다 (the same command with --workers 1 goes on)",
        ) from None
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return out


_worker: dict[str, Any] = {}


def _start_worker(tokenizer: str, parent: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    _worker["tokenizer"] = load(tokenizer)
    _worker["parent"] = parent


def _work(job: Job, threads: int) -> dict[str, Any]:
    def alive() -> None:
        if os.getppid() != _worker["parent"]:
            os._exit(1)

    return encode_part(job, _worker["tokenizer"], threads, alive, None)


# ---------------------------------------------------------------------------------------------------------------------
# One part


class _Counts:
    """What a part counts beside tokens."""

    def __init__(self) -> None:
        self.sources: dict[str, Counter[str]] = {}
        self.empty = self.cut = 0
        self.reasons: Counter[str] = Counter()
        self.refused: list[dict[str, Any]] = []

    def add(self, source: str, documents: int, tokens: int, nbytes: int) -> None:
        name = source if source in self.sources or len(self.sources) < MAX_SOURCES else "…"
        self.sources.setdefault(name, Counter()).update(documents=documents, tokens=tokens, bytes=nbytes)

    def refuse(self, file: Path, line: int, id: str, error: NothingToLearn) -> None:
        self.reasons[error.reason] += 1
        self.refused.append(
            {"file": str(file), "line": line, "id": id, "reason": error.reason, "why": str(error)}
        )


def encode_part(job: Job, tokenizer: Tokenizer, threads: int, alive: Any, bar: Any) -> dict[str, Any]:
    """Write one part; returns (and leaves in parts/) its counts. `alive()` is called before each batch."""
    counts = _Counts()
    writers: dict[Split, PartWriter] = {
        split: PartWriter(job.folder, split, job.part, kind=job.kind, vocab_size=tokenizer.vocab_size)
        for split in ("train", "val")
    }
    try:
        if job.kind == "text":
            _encode_texts(job, tokenizer, threads, writers, counts, alive, bar)
        else:
            _encode_examples(job, tokenizer, threads, writers, counts, alive, bar)
        splits = {split: asdict(writer.close()) for split, writer in writers.items()}
    except BaseException:
        for writer in writers.values():
            writer.abort()
        raise
    refused_file = job.folder / "refused" / f"{job.part:05d}.jsonl"
    refused_file.unlink(missing_ok=True)
    if counts.refused:
        import orjson

        with atomic_open(refused_file, "wb") as handle:
            handle.writelines(orjson.dumps(item) + b"\n" for item in counts.refused)
    record = {
        "splits": splits,
        "sources": {k: dict(v) for k, v in counts.sources.items()},
        "empty": counts.empty,
        "cut": counts.cut,
        "reasons": dict(counts.reasons),
        "examples": counts.refused[:EXAMPLES_KEPT],
    }
    atomic_json(record_path(job), record)
    return record


def _encode_texts(
    job: Job,
    tokenizer: Tokenizer,
    threads: int,
    writers: dict[Split, PartWriter],
    counts: _Counts,
    alive: Any,
    bar: Any,
) -> None:
    eot = tokenizer.eot_id
    for batch in _text_batches(job, counts):
        alive()
        for split in writers:
            chosen = [d for d in batch if _split(job, d.id, d.meta) == split]
            if not chosen:
                continue
            try:
                ids, ends = tokenizer.encode_flat([d.text for d in chosen], threads)
            except UserError:
                _name_unencodable(chosen, tokenizer)
                raise
            closed = np.insert(ids, ends.astype(np.int64), eot)
            ends = ends + np.arange(1, len(ends) + 1, dtype=np.uint64)
            sizes = [len(d.text.encode()) for d in chosen]
            writers[split].write_batch(closed, ends, nbytes=sum(sizes))
            lengths = np.diff(ends.astype(np.int64), prepend=0).tolist()
            for document, length, size in zip(chosen, lengths, sizes, strict=True):
                counts.add(document.source, 1, length, size)
        if bar is not None:
            bar.advance(0, bytes=sum(len(d.text.encode()) for d in batch))


def _name_unencodable(documents: Sequence[Text], tokenizer: Tokenizer) -> None:
    for document in documents:
        try:
            tokenizer.encode(document.text)
        except UserError as error:
            raise UserError(f"문서 (document) {document.id}: {error}", error.help) from None


def _text_batches(job: Job, counts: _Counts) -> Iterator[list[Text]]:
    batch: list[Text] = []
    size = 0
    for document in islice((d for file in job.files for d in read_texts(file)), job.limit):
        if not document.text:
            counts.empty += 1
            continue
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _split(job: Job, id: str, meta: dict[str, Any]) -> Split:
    return "val" if held_out(holdout_key(id, meta), job.config.val) else "train"


def _encode_examples(
    job: Job,
    tokenizer: Tokenizer,
    threads: int,
    writers: dict[Split, PartWriter],
    counts: _Counts,
    alive: Any,
    bar: Any,
) -> None:
    config = job.config
    template = template_of(tokenizer)  # the copy in the shard folder speaks as the shards do
    # In a pair only the answers are learned, whatever the policy: their turns are all that still has train=True.
    policy = config.train if job.kind == "chat" else "assistant"
    token_bytes = tokenizer.token_bytes()
    examples = islice(
        ((file, line, e) for file in job.files for line, e in read_examples(file, job.kind)), job.limit
    )
    while batch := list(islice(examples, BATCH_EXAMPLES)):
        alive()
        groups = [conversations_of(example, job.kind) for _, _, example in batch]
        flat = render_flat(tokenizer, [c for group in groups for c in group], template, policy, threads)
        ends = flat.ends.tolist()
        spans = zip([0, *ends[:-1]], ends, strict=True)
        rows = iter([(flat.ids[a:b], flat.mask[a:b]) for a, b in spans])
        for (file, line, example), group in zip(batch, groups, strict=True):
            kept, cut = [next(rows) for _ in group], False
            if any((config.max_tokens or len(ids)) < len(ids) or not mask.any() for ids, mask in kept):
                try:
                    fitted, cut = fit(
                        tokenizer,
                        group,
                        [(ids.tolist(), mask.tolist()) for ids, mask in kept],
                        max_tokens=config.max_tokens,
                        truncate=config.truncate,
                        template=template,
                        train=policy,
                    )
                except NothingToLearn as error:
                    counts.refuse(file, line, example.id, error)
                    continue
                kept = [(np.asarray(ids, np.uint32), np.asarray(mask, np.uint8)) for ids, mask in fitted]
            counts.cut += cut
            split = _split(job, example.id, example.meta)
            tokens = nbytes = 0
            for ids, mask in kept:
                size = int(token_bytes[ids[mask == 1]].sum())
                writers[split].write(ids, mask, size)
                tokens, nbytes = tokens + len(ids), nbytes + size
            counts.add(example.source or file.name, len(kept), tokens, nbytes)
        if bar is not None:
            bar.show()


def conversations_of(example: Any, kind: Kind) -> list[Sequence[Turn]]:
    """The one conversation of a chat; of a pair the prompt with each answer, only the answer learned."""
    if kind == "chat":
        return [example.messages]
    prompt = [Turn(t.role, t.content, False) for t in turns_of(example.prompt)]
    return [[*prompt, *turns_of(example.chosen)], [*prompt, *turns_of(example.rejected)]]
