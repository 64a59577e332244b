"""A whole JSONL of conversations answered by a model, resumable, in order; the body of `kobitnet generate --prompts`."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kobitnet.prompting import GenerateConfig, backend_name, open_backend, stop_ids
from kodata.run.errors import UserError
from kodata.run.result import Result

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend

BATCH = 8  # conversations of a file the engine answers together


def _conversations(path: Path, pairs: bool) -> Iterator[tuple[str, list[Any]]]:
    """(id, messages up to the last answer) of a chat or pair JSONL; chats that do not end in an answer are taken whole."""
    from kodata.chat import read_chats, read_pairs

    if pairs:
        for pair in read_pairs(path):
            yield pair.id, list(pair.prompt)
        return
    for chat in read_chats(path, answers=False):
        messages = list(chat.messages)
        if messages and messages[-1].role == "assistant":
            messages.pop()
        yield chat.id, messages


def _is_pairs(path: Path) -> bool:
    if not path.is_file():
        raise UserError(
            f"파일이 없습니다 (no such file): {path}", help="kodata sft 의 결과를 주세요 (give a chat JSONL)"
        )
    try:
        with open(path, encoding="utf-8") as handle:
            first = json.loads(handle.readline(1 << 24) or "{}")
    except (ValueError, UnicodeDecodeError):  # the reader below says it with file and line
        return False
    return isinstance(first, dict) and "chosen" in first


def answer_file(
    model: Path,
    prompts: Path,
    output: Path,
    config: GenerateConfig,
    limit: int | None,
    seed: int,
    fresh: bool,
) -> Result:
    """Answer every conversation; finished answers stay in <output>.run/answers.jsonl until all are there."""
    from kobitnet.engine.config import model_folder, weights_fingerprint
    from kodata.run.files import atomic_open
    from kodata.run.folder import open_run
    from kodata.run.progress import progress

    source = model if Path(model).is_file() else model_folder(model)
    pairs = _is_pairs(prompts)  # before the folder is made: a missing file leaves nothing behind
    name = backend_name(model, config)
    with open_run(
        output,
        tool="kobitnet",
        verb="generate",
        config={**asdict(config), "backend": name, "limit": limit},
        inputs=[source, prompts],
        seed=seed,
        fresh=fresh,
        kind="file",
    ) as run:
        if run.done:
            return run.result()
        conversations = list(_conversations(prompts, pairs))[:limit]
        if not conversations:
            raise UserError(f"대화가 없습니다 (no conversations): {prompts}")
        part = run.path / "answers.jsonl"
        done = _whole_lines(part)
        backend, _ = open_backend(model, config)
        tokenizer = backend.tokenizer
        asked = _prompts(backend, conversations, prompts, config)
        dropped = len(conversations) - len(asked)
        weights = weights_fingerprint(source)
        settings = {
            **config.sampling(),
            "max_new_tokens": config.max_new_tokens,
            "backend": name,
            "seed": seed,
        }
        written = 0
        with (
            open(part, "ab") as handle,
            progress("답 만들기 (answering)", total=len(asked), unit="대화", done=len(done)) as bar,
        ):
            for (_, identity, messages, _), new in _answers(backend, asked[len(done) :], config, seed):
                row = {
                    "id": identity,
                    "prompt": [{"role": m.role, "content": m.content} for m in messages],
                    "response": tokenizer.decode(new, skip_special=True).strip(),
                    "model": weights,
                    "settings": settings,
                }
                handle.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
                handle.flush()
                written += len(new)
                bar.advance(1, tokens=written)
        rows = _whole_lines(part)
        with atomic_open(output, "wb") as handle:
            handle.writelines(rows)
        part.unlink()
        first = json.loads(rows[0])
        from kodata.report import blocks

        samples = blocks.samples(
            "답의 예 (sample answers)",
            [
                {
                    "label": r["prompt"][-1]["content"][:200] if r["prompt"] else "",
                    "text": r["response"] or "(빈 답, empty)",
                }
                for r in map(json.loads, rows[:8])
            ],
        )
        return run.finish(
            summary={
                "answers": len(rows),
                "empty": sum(not json.loads(r)["response"] for r in rows),
                "dropped": dropped,
                "model": weights,
            },
            report=[
                blocks.facts(
                    "한눈에 (at a glance)", {"답 (answers)": len(rows), "모델 (model)": weights, **settings}
                ),
                samples,
            ],
            lines=[
                f"답 (answers): {len(rows):,}"
                + (f", 길어서 뺌 (too long, left out): {dropped:,}" if dropped else ""),
                f"예 (example): {first['response'][:80]}",
            ],
        )


def _prompts(
    backend: "Backend", conversations: list[tuple[str, list[Any]]], path: Path, config: GenerateConfig
) -> "list[Asked]":
    """(number in the file, id, messages, ids) of every conversation that leaves room for an answer, looked at before the
    first is answered.

    Raises:
        UserError: one is too long and `too_long` is "error", or all of them are.
    """
    from kodata.chat import Message
    from kotok.chat import prompt_ids, template_of

    template = template_of(backend.tokenizer)
    out, long = [], []
    for number, (identity, messages) in enumerate(conversations):
        if config.system and (not messages or messages[0].role != "system"):
            messages = [Message(role="system", content=config.system), *messages]
        ids = list(prompt_ids(backend.tokenizer, messages, template))
        if len(ids) < backend.positions:
            out.append((number, identity, messages, ids))
        else:
            long.append((number, identity, len(ids)))
    if long and (config.too_long == "error" or not out):
        number, identity, size = long[0]
        raise UserError(
            f"대화 {len(long)}/{len(conversations)}개가 모델이 읽는 {backend.positions} 토큰보다 깁니다 "
            f"(too long for the model, e.g. conversation {number + 1}, id {identity!r}: {size} tokens)",
            help="그 대화를 줄이거나 --too-long drop 으로 빼세요 (shorten it, or --too-long drop)",
            file=path,
        )
    return out


Asked = tuple[int, str, list[Any], list[int]]


def _answers(
    backend: "Backend", asked: list[Asked], config: GenerateConfig, seed: int
) -> Iterator[tuple[Asked, list[int]]]:
    """Each conversation with the ids of its answer, in order; the engine decodes BATCH of them together (the same texts)."""
    from kobitnet.engine import Engine

    stop, settings = stop_ids(backend.tokenizer), config.sampling()
    if not isinstance(backend, Engine):
        for one in asked:
            number, _, _, ids = one
            yield (
                one,
                backend.generate(ids, config.max_new_tokens, stop_ids=stop, seed=seed + number, **settings),
            )
        return
    for first in range(0, len(asked), BATCH):
        group = asked[first : first + BATCH]
        seeds = [seed + number for number, _, _, _ in group]
        prompts = [ids for _, _, _, ids in group]
        answers = backend.generate_batch(
            prompts, config.max_new_tokens, stop_ids=stop, seeds=seeds, **settings
        )
        yield from zip(group, answers, strict=True)


def _whole_lines(path: Path) -> list[bytes]:
    """The complete lines of a file that may end in half a one; that half is cut off the file."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        with open(path, "r+b") as handle:
            handle.truncate(len(whole))
    return whole.splitlines(keepends=True)
