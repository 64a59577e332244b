"""Answers of an endpoint to the questions of a chat file: generations JSONL, as `kobitnet generate --prompts` writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kodata.chat.read import read_chats, read_pairs
from kodata.chat.records import Message
from kodata.chat.rows import read_rows
from kodata.run.errors import UserError
from kodata.synth.client import Answer, EndpointConfig


def prompts_of(files: list[Path], limit: int | None) -> Iterator[tuple[str, list[Message]]]:
    """(id, messages up to the last answer) of chat and pair files, the first `limit`. Raises UserError without any."""
    count = 0
    for file in files:
        for identity, prompt in _prompts(file):
            if limit is not None and count >= limit:
                return
            count += 1
            yield identity, prompt
    if not count:
        raise UserError(f"대화가 없습니다 (no chats): {', '.join(map(str, files))}")


def _prompts(file: Path) -> Iterator[tuple[str, list[Message]]]:
    first = next(iter(read_rows(file)), (0, {}))[1]
    if isinstance(first, dict) and "chosen" in first:
        for pair in read_pairs(file):
            yield pair.id, pair.prompt
        return
    for chat in read_chats(file, answers=False):
        yield chat.id, chat.prompt


def response_row(
    identity: str, prompt: list[Message], answer: Answer, config: EndpointConfig, seed: int
) -> dict[str, Any]:
    """One line of generations JSONL; `settings` says where the answer comes from."""
    return {
        "id": identity,
        "prompt": [{"role": m.role, "content": m.content} for m in prompt],
        "response": answer.text.strip(),
        "model": config.model,
        "settings": {
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_new_tokens": config.max_tokens,
            "seed": seed,
            "backend": "endpoint",
            "endpoint": config.host,
            "fingerprint": answer.fingerprint,
            "prompt_hash": answer.hash,
            "finish": answer.finish,
        },
    }
