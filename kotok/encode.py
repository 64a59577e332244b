"""`kotok encode`: documents, chats or pairs to token shards."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from kodata.run.errors import UserError
from kodata.run.flags import (
    DryRun,
    Flat,
    Fresh,
    Inputs,
    Limit,
    Output,
    Parameter,
    Workers,
    check_limit,
    worker_count,
)
from kodata.run.folder import open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kotok.chat import chosen_template, spec_of, template_name
from kotok.parts import EncodeConfig, done_parts, plan_parts, run_parts
from kotok.records import Kind, input_files, kind_of
from kotok.template import TemplateSpec
from kotok.tokenizer import Tokenizer, load


def encode(
    inputs: Inputs,
    /,
    *,
    tok: Annotated[Path, Parameter(name=["--tok"], help="토크나이저 폴더 (tokenizer folder)")],
    output: Output,
    config: Annotated[EncodeConfig | None, Flat] = None,
    limit: Limit = None,
    workers: Workers = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """문서·대화·쌍을 토큰 샤드로 (encode documents, chats or pairs into token shards).

    The kind is found by content. Output: see `kotok.shards`. Work is cut into parts of whole input files; a part is
    written whole or not at all, so the same command after an interruption does the missing ones. The bytes do not
    depend on the number of workers.

    Raises:
        UserError: missing input or tokenizer, inputs of several kinds, a broken record (file, line, key), nothing to encode.
    """
    check_limit(limit)
    config = config or EncodeConfig()
    files = input_files(inputs)
    tokenizer = load(tok)
    kind = _common_kind(files)
    template = chosen_template(config.template, tokenizer)
    config.template = template_name(template)
    if dry_run:
        return _plan(files, kind, tokenizer, config, template)
    settings = {**asdict(config), "limit": limit, "tokenizer": tokenizer.fingerprint}
    with open_run(output, tool="kotok", verb="encode", config=settings, inputs=files, fresh=fresh) as run:
        if run.done:
            return run.result()
        from kotok.shard_writer import SPLITS, PartCount, Split, write_meta

        if (
            kind != "text"
        ):  # the copy talks as the shards do: what is trained on them generates with that template
            spoken = {**tokenizer.config, "chat_template": spec_of(template).jinja}
            tokenizer = Tokenizer(tokenizer.spec, spoken)
        tokenizer.save(run.path / "tokenizer")
        jobs = plan_parts(files, run.path, kind, config, tokenizer, limit)
        before = done_parts(jobs)
        with progress(
            "인코딩 (encoding)",
            total=sum(f.stat().st_size for f in files) / 1e6,
            unit="MB",
            done=sum(job.size for job in jobs if job.part in before) / 1e6,
        ) as bar:
            done = run_parts(jobs, before, worker_count(workers), bar)
        records = [done[job.part] for job in jobs]
        total = _merged(records)
        if not total["documents"]:
            why = ", ".join(f"{name} {n}" for name, n in total["reasons"].items()) or "–"
            raise UserError(
                f"인코딩할 것이 없습니다 (nothing to encode): 거절 (refused) {total['refused']} ({why}), 빈 것 (empty) {total['empty']}",
                "입력과 --max-tokens, --truncate 를 확인하십시오 (check the input, --max-tokens and --truncate)",
            )
        counts: dict[Split, list[tuple[str, PartCount]]] = {
            split: [(f"{job.part:05d}", PartCount(**done[job.part]["splits"][split])) for job in jobs]
            for split in SPLITS
        }
        extra = {
            "sources": total["sources"],
            "val": config.val,
            "documents_refused": total["refused"],
            "end_of_text_id": tokenizer.eot_id,
            "end_of_turn_id": tokenizer.end_of_turn_id,
            "pad_id": tokenizer.pad_id,
        }
        if kind != "text":
            extra |= {
                "template": config.template,
                "train": config.train,
                "max_tokens": config.max_tokens,
                "truncate": config.truncate,
                "documents_cut": total["cut"],
            }
        meta = write_meta(
            run.path,
            kind=kind,
            vocab_size=tokenizer.vocab_size,
            tokenizer_fingerprint=tokenizer.fingerprint,
            parts=counts,
            extra=extra,
        )
        return run.finish(**_told(meta, total, run.path))


def _common_kind(files: Sequence[Path]) -> Kind:
    kinds: dict[Kind, Path] = {}
    for file in files:
        found = kind_of(file)
        if found is not None:
            kinds.setdefault(found, file)
    if not kinds:
        raise UserError(f"입력이 비었습니다 (inputs are empty): {', '.join(map(str, files[:3]))}")
    if len(kinds) > 1:
        named = ", ".join(f"{file} = {kind}" for kind, file in kinds.items())
        raise UserError(
            f"입력의 종류가 섞였습니다 (inputs of several kinds): {named}",
            "종류마다 따로 인코딩하십시오 (encode each kind into its own folder)",
        )
    return next(iter(kinds))


def _merged(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of all parts together."""
    sources: dict[str, Counter[str]] = {}
    for record in records:
        for name, counts in record["sources"].items():
            sources.setdefault(name, Counter()).update(counts)
    reasons: Counter[str] = Counter()
    for record in records:
        reasons.update(record["reasons"])
    return {
        "documents": sum(r["splits"][s]["documents"] for r in records for s in ("train", "val")),
        "empty": sum(r["empty"] for r in records),
        "cut": sum(r["cut"] for r in records),
        "refused": sum(reasons.values()),
        "reasons": dict(sorted(reasons.items())),
        "examples": [e for r in records for e in r["examples"]][:8],
        "sources": {name: dict(counts) for name, counts in sorted(sources.items())},
    }


def _told(meta: dict[str, Any], total: dict[str, Any], path: Path) -> dict[str, Any]:
    """summary, report and lines for `run.finish`."""
    from kodata.report import blocks

    splits = meta["splits"]
    summary = {
        "kind": meta["kind"],
        "vocab_size": meta["vocab_size"],
        "dtype": meta["dtype"],
        **{
            f"{split}_{key}": splits[split][key]
            for split in splits
            for key in ("documents", "tokens", "targets", "bytes")
        },
        "empty": total["empty"],
        "cut": total["cut"],
        "refused": total["refused"],
        "reasons": total["reasons"],
    }
    lines = [
        f"{split}: 문서 (documents) {value['documents']:,}, 토큰 (tokens) {value['tokens']:,}"
        + (
            f", 배우는 토큰 (learned) {value['targets']:,} ({100 * value['targets'] / value['tokens']:.1f} %)"
            if meta["kind"] != "text" and value["tokens"]
            else ""
        )
        for split, value in splits.items()
    ]
    if not splits["val"]["documents"] and meta["val"]:
        lines.append(
            f"알림: 문서가 적어 val 이 비었습니다 (no document fell into the hold-out): --val {meta['val']}"
        )
    if total["empty"]:
        lines.append(f"빈 문서는 뺐습니다 (empty documents left out): {total['empty']:,}")
    if total["cut"]:
        lines.append(f"길어서 자름 (cut because too long): {total['cut']:,}")
    if total["refused"]:
        lines.append(
            f"거절 (refused): {total['refused']:,} ({', '.join(f'{k} {v:,}' for k, v in total['reasons'].items())}), "
            f"전체 목록 (all of them): {path / 'refused'}"
        )
        lines += [f"  {e['file']}:{e['line']}: {e['id']}: {e['why']}" for e in total["examples"][:4]]
    rows = [
        [
            name,
            c.get("documents", 0),
            c.get("tokens", 0),
            c.get("bytes", 0),
            round(c.get("bytes", 0) / max(c.get("tokens", 0), 1), 3),
        ]
        for name, c in sorted(total["sources"].items(), key=lambda item: -item[1].get("tokens", 0))
    ]
    report = [
        blocks.facts(
            "토큰 샤드 (token shards)",
            {k: v for k, v in summary.items() if v and not isinstance(v, dict)},
        ),
        blocks.table(
            "출처별 (by source)",
            [
                "출처 (source)",
                "문서 (documents)",
                "토큰 (tokens)",
                "바이트 (bytes)",
                "바이트/토큰 (bytes per token)",
            ],
            rows,
        ),
    ]
    if total["examples"]:
        report.append(
            blocks.table(
                "거절한 것 (refused)",
                ["파일 (file)", "줄 (line)", "id", "까닭 (why)"],
                [[e["file"], e["line"], e["id"], e["why"]] for e in total["examples"]],
                total=total["refused"],
            )
        )
    return {"summary": summary, "report": report, "lines": lines}


def _plan(
    files: Sequence[Path],
    kind: Kind,
    tokenizer: Tokenizer,
    config: EncodeConfig,
    template: str | TemplateSpec,
) -> Result:
    """Encode the first 200 records into nothing and say what the whole would give."""
    import time
    from itertools import islice

    from kotok.chat import render_many
    from kotok.records import read_examples, read_texts

    begin = time.monotonic()
    first = next(f for f in files if kind_of(f) == kind)
    if kind == "text":
        texts = [d.text for d in islice(read_texts(first), 200)]
        tokens, read = len(tokenizer.encode_flat(texts)[0]) + len(texts), sum(len(t.encode()) for t in texts)
        tried = len(texts)
    else:
        examples = [e for _, e in islice(read_examples(first, kind), 200)]
        chats = [e.messages if kind == "chat" else [*e.prompt, *e.chosen] for e in examples]
        tokens = sum(len(ids) for ids, _ in render_many(tokenizer, chats, template, config.train))
        read, tried = sum(len(m.content.encode()) for c in chats for m in c), len(examples)
    seconds = max(time.monotonic() - begin, 1e-3)
    text = sum(f.stat().st_size * (4 if f.suffix in (".gz", ".zst", ".parquet") else 1) for f in files)
    lines = [
        f"계획 (plan): {kind}, 파일 (files) {len(files)}, 글 약 (text about) {text / 1e6:,.0f} MB",
        f"시험 (tried): {tried} 개 (records), 토큰 (tokens) {tokens:,}, 바이트/토큰 (bytes per token) {read / max(tokens, 1):.2f}, {seconds:.2f} s",
        f"짐작 (estimate): 토큰 약 (tokens about) {text * tokens / max(read, 1) / 1e6:,.1f} M, 시간 약 (time about) {1 + text / 15e6:,.0f} s, "
        f"기억 약 (memory about) 200 MB × workers",
        "아무것도 쓰지 않았습니다 (nothing was written)",
    ]
    return Result(summary={"kind": kind, "files": len(files), "tried": tried, "tokens": tokens}, lines=lines)
