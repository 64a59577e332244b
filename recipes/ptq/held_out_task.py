"""A task that even a small model can do: which of four continuations is that of a held-out text?

    python recipes/ptq/held_out_task.py SHARDS -o held_out.jsonl
    kobitnet eval RUN --tasks held_out.jsonl

Documents of the val split are cut into 24 words (어절) of context and the 8 that follow; the other three choices follow
contexts of other documents. KoBEST asks for what a model of a few million weights has never learned; here the harm a
quantisation does shows in accuracy too.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kodata.run.errors import UserError
from kodata.run.files import atomic_open
from kotok.shards import open_shards
from kotok.tokenizer import load

CONTEXT, CONTINUATION, CHOICES = 24, 8, 4


def windows(texts: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """(number of the document, context, continuation), as many as fit without overlap."""
    for number, text in enumerate(texts):
        words = text.split()
        for begin in range(0, len(words) - CONTEXT - CONTINUATION + 1, CONTEXT + CONTINUATION):
            middle = begin + CONTEXT
            yield number, " ".join(words[begin:middle]), " ".join(words[middle : middle + CONTINUATION])


def questions(texts: Sequence[str], seed: int = 0) -> list[dict[str, object]]:
    """{"prompt", "choices", "answer"} of every window for which other documents have three more continuations."""
    found = list(windows(texts))
    draw = random.Random(seed)
    out: list[dict[str, object]] = []
    for number, context, right in found:
        others = sorted({c for n, _, c in found if n != number and c != right})
        if len(others) < CHOICES - 1:
            continue
        choices = [right, *draw.sample(others, CHOICES - 1)]
        draw.shuffle(choices)
        out.append({"prompt": context, "choices": choices, "answer": choices.index(right)})
    return out


def main(arguments: list[str] | None = None) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path, help="글 샤드, val 부분 (text shards with a val split)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="쓸 파일 (JSONL to write)")
    given = parser.parse_args(arguments)
    try:
        shards = open_shards(given.shards, "val")
        tokenizer = load(shards.tokenizer)
        texts = [tokenizer.decode(ids.tolist(), skip_special=True) for ids, _ in shards.documents()]
        rows = questions(texts)
        if not rows:
            raise UserError(
                f"물음을 지을 글이 모자랍니다 (too little held-out text to ask about): {given.shards}",
                "kotok encode … --val 0.05 처럼 더 떼어 두십시오 (hold out more)",
            )
        with atomic_open(given.output, "w") as handle:
            handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except UserError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return error.code
    print(f"물음 (questions) {len(rows):,}", given.output, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
