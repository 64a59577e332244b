"""Speed of the chat path on one core, in CPU time: `python -m tests.bench.chat [examples]`.

Short examples as instruction sets have them. Measured apart: reading, validating and rendering into pieces; cleaning, personal data;
prompt signatures; masking against raw encoding of the same text; the whole of `kodata sft`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kodata.chat.clean import Cleaner
from kodata.chat.forms import chat_of
from kodata.chat.near import Prompts
from kodata.chat.records import check_chat
from kodata.chat.rows import read_rows
from kodata.chat.sft import SftConfig, sft
from kodata.chat.shared import judge_text
from kodata.pii import PiiConfig
from kotok.chat import turns_of
from kotok.flat import render_flat
from kotok.parts import BATCH_EXAMPLES
from kotok.records import read_examples
from kotok.template import TEMPLATES
from tests.made_korean import sentence


def spent(work: Callable[[], object], times: int = 3) -> float:
    """Least CPU seconds of several runs."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def examples(count: int) -> list[dict[str, str]]:
    """Alpaca rows: the real short chats where they are, else made sentences."""
    import os
    import random

    root = Path(os.environ.get("KOBITNET_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    real = root / "instruct" / "chatbot_songys.alpaca.jsonl.gz"
    if real.is_file():
        return [row for _, row in read_rows(real)][:count]  # type: ignore[misc]
    rng = random.Random(0)
    return [
        {
            "instruction": sentence(rng),
            "input": "" if i % 3 else sentence(rng),
            "output": f"{sentence(rng)} {sentence(rng)}",
        }
        for i in range(count)
    ]


def main(count: int = 20_000) -> None:
    """Print one line a measurement."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        rows = examples(count)
        count = len(rows)
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        chats = [chat_of(r) for r in rows]
        chars = sum(len(m.content) for c in chats for m in c.messages)
        print(f"{count:,} examples, {chars / count:.0f} characters each")

        def read_only() -> None:
            for _, row in read_rows(path):
                check_chat(chat_of(row))  # type: ignore[arg-type]

        def whole() -> None:
            for _, chat in read_examples(path, "chat"):
                TEMPLATES["bitnet"].pieces(turns_of(chat.messages), False)

        def clean() -> None:
            cleaner = Cleaner(True, PiiConfig())
            for row in rows:
                cleaner.messages(chat_of(row).messages)

        def rules() -> None:
            config = SftConfig()
            for chat in chats:
                judge_text(chat.prompt, [chat.messages[-1:]], config)

        def near() -> None:
            prompts = Prompts(0.8)
            for chat in chats:
                prompts.add(chat.prompt)
            prompts.groups(lambda: (c.prompt for c in chats))

        for name, work in (
            ("read and validate", read_only), ("read, validate, template", whole), ("normalise and personal data (with chat_of)", clean),
            ("length, language, rules", rules), ("near prompts", near),
        ):  # fmt: skip
            print(f"{name:45s} {count / spent(work):10,.0f} examples/s")
        out = Path(folder) / "chat.jsonl"
        print(
            f"{'kodata sft, all of it':45s} {count / spent(lambda: sft([str(path)], output=out, fresh=out.exists()), 1):10,.0f} examples/s"
        )

        tokenizer = trained(Path(folder), rows)
        batches = [
            [c.messages for c in chats[i : i + BATCH_EXAMPLES]] for i in range(0, count, BATCH_EXAMPLES)
        ]
        rendered = [[text(messages) for messages in batch] for batch in batches]
        raw = spent(lambda: [tokenizer.encode_flat(batch) for batch in rendered], 7)
        masked = spent(lambda: [render_flat(tokenizer, batch) for batch in batches], 7)
        print(f"{'raw encode of the rendered text':45s} {count / raw:10,.0f} examples/s")
        print(
            f"{'encode with template and mask':45s} {count / masked:10,.0f} examples/s = {raw / masked:.0%} of raw encode"
        )


def text(messages: list[Any]) -> str:
    """A conversation as one string, as the default template writes it."""
    return "".join(piece.text for piece in TEMPLATES["bitnet"].pieces(turns_of(messages), False))


def trained(folder: Path, rows: list[dict[str, str]]) -> object:
    """A byte-level BPE of 704 ids on the same text."""
    from kotok import load
    from kotok.train import TrainConfig, train

    text = folder / "text.txt"
    text.write_text("\n".join(r["output"] for r in rows[:4000]), encoding="utf-8")
    train([str(text)], output=folder / "tok", config=TrainConfig(vocab_size=704, algorithm="bbpe", val=0))
    return load(folder / "tok")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
