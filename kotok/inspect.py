"""`kotok inspect`: any text token by token; of a chat or pair file which tokens are learned."""

import sys
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated, Any

from kodata.run.errors import UserError
from kodata.run.flags import Limit, Parameter
from kodata.run.progress import note
from kodata.run.result import Result
from kotok.chat import Train, chosen_template, render_many, template_name, template_of, turns_of
from kotok.explain import explained, width
from kotok.foreign import open_any
from kotok.judged import Judged
from kotok.shown import facts_of, show
from kotok.tokenizer import Tokenizer

GREEN, GREY, BOLD, PLAIN = "\x1b[32m", "\x1b[90m", "\x1b[1m", "\x1b[0m"
COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[34m")
MAX_TEXT_CHARS = 20_000


def inspect(
    tok: Annotated[
        Path,
        Parameter(
            help="토크나이저: 폴더, tokenizer.json, .tiktoken, tekken.json, .model, .gguf (tokenizer of any make)"
        ),
    ],
    text: Annotated[
        str | None,
        Parameter(help="글, 파일, - (text, a text or chat file, - for stdin)", allow_leading_hyphen=True),
    ] = None,
    /,
    *,
    template: Annotated[
        str,
        Parameter(
            help="대화 틀: saved, bitnet, instruction, inst, chatml, jinja 파일 (chat template or its file)"
        ),
    ] = "saved",
    train: Annotated[Train, Parameter(help="학습할 발화 (what is learned)")] = "assistant",
    limit: Limit = None,
) -> Result:
    """글을 토큰 하나하나로 보기 (show text token by token).

    Without a text: what the tokenizer is. With text: each token with its id and what it is made of. With a chat or pair
    file: the first `--limit` examples (3), learned tokens green and marked `+`, masked ones grey and marked `·`.

    Raises:
        UserError: no tokenizer, a missing file, a broken record, text that is no UTF-8.
    """
    tokenizer = open_any(tok)
    colour = sys.stdout.isatty()
    if text is None:
        return tokenizer_facts(tokenizer)
    path = Path(text)
    if text != "-" and _is_file(path):
        from kotok.records import kind_of, read_examples, read_texts

        kind = kind_of(path)
        if kind in ("chat", "pair"):
            if not isinstance(tokenizer, Tokenizer):
                raise UserError(
                    f"대화를 보려면 토크나이저 폴더가 필요합니다 (chats need a tokenizer folder): {tok}",
                    "kotok train이 만든 폴더나 Hugging Face 폴더를 주십시오 (one that kotok train made, or a Hugging Face one)",
                )
            name = chosen_template(template, tokenizer)
            return _examples(
                tokenizer, list(islice(read_examples(path, kind), limit or 3)), kind, name, train, colour
            )
        text = next((d.text for d in read_texts(path)), "") if kind else ""
    elif text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"UTF-8이 아닙니다 (stdin is not UTF-8): {error}",
                "iconv -f cp949 -t utf-8 을 거치십시오 (convert it)",
            ) from None
    elif "/" in text and text.endswith((".jsonl", ".txt", ".gz", ".zst")):
        raise UserError(f"파일이 없습니다 (no such file): {text}", "경로를 확인하십시오 (check the path)")
    if len(text) > MAX_TEXT_CHARS:
        note(
            f"앞의 {MAX_TEXT_CHARS:,}글자만 보입니다 (only the first {MAX_TEXT_CHARS:,} characters of {len(text):,})"
        )
    return _text(tokenizer, text[:MAX_TEXT_CHARS], colour)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text too long for a name, or with NUL
        return False


def _pieces(tokenizer: Judged, ids: list[int]) -> list[str]:
    return [show(tokenizer.token(i)) for i in ids]


def _text(tokenizer: Judged, text: str, colour: bool) -> Result:
    from kodata.report import blocks

    ids = tokenizer.encode(text)
    pieces = _pieces(tokenizer, ids)
    if colour:
        running = "".join(f"{COLOURS[n % len(COLOURS)]}{p}" for n, p in enumerate(pieces)) + PLAIN
    else:
        running = "|".join(pieces)
    eojeols = max(len(text.split()), 1)
    lines = [
        running,
        *_table(ids, pieces, explained(tokenizer, ids), len(str(tokenizer.vocab_size))),
        f"토큰 (tokens) {len(ids)}, 글자 (characters) {len(text)}, 글자/토큰 (characters per token) {len(text) / max(len(ids), 1):.2f}, "
        f"토큰/어절 (tokens per eojeol) {len(ids) / eojeols:.2f}",
    ]
    summary = {"ids": ids, "tokens": len(ids), "characters": len(text)}
    return Result(
        summary=summary,
        lines=lines,
        report=[blocks.tokens("토큰 (tokens)", [[(p, n % 6) for n, p in enumerate(pieces)]])],
    )


def _table(ids: list[int], pieces: list[str], notes: list[str], digits: int) -> list[str]:
    """`id  [token]  note`, the notes below each other."""
    most = min(max((width(p) for p in pieces), default=0), 24)
    return [
        f"{i:>{digits}}  [{p}]{' ' * (most - width(p))}  {note}".rstrip()
        for i, p, note in zip(ids, pieces, notes, strict=True)
    ]


def _examples(
    tokenizer: Tokenizer,
    examples: list[tuple[int, Any]],
    kind: str,
    template: Any,
    train: Train,
    colour: bool,
) -> Result:
    from kodata.report import blocks
    from kotok.parts import conversations_of

    lines: list[str] = []
    rows: list[dict[str, Any]] = []
    shares: list[dict[str, Any]] = []
    policy = train if kind == "chat" else "assistant"
    for line, example in examples:
        named = [""] if kind == "chat" else [" chosen", " rejected"]
        group = [turns_of(c) for c in conversations_of(example, "chat" if kind == "chat" else "pair")]
        for name, (ids, mask) in zip(named, render_many(tokenizer, group, template, policy), strict=True):
            pieces = _pieces(tokenizer, ids)
            label = f"{line}: {example.id}{name}"
            lines += [
                f"{BOLD}{label}{PLAIN}" if colour else label,
                _running(tokenizer, ids, mask, colour),
                *_listed(tokenizer, ids, pieces, mask, colour),
                f"토큰 (tokens) {len(ids)}, 배움 (learned) {sum(mask)} ({100 * sum(mask) / len(ids):.0f} %)",
                "",
            ]
            rows.append(
                {
                    "label": label,
                    "tokens": [(p, "learned" if m else "masked") for p, m in zip(pieces, mask, strict=True)],
                }
            )
            shares.append(
                {
                    "id": example.id + name,
                    "line": line,
                    "tokens": len(ids),
                    "learned": sum(mask),
                    "ids": ids,
                    "mask": mask,
                }
            )
    if not examples:
        lines.append("예가 없습니다 (no examples)")
    return Result(
        summary={"examples": shares},
        lines=lines[:-1] if examples else lines,
        report=[blocks.tokens("배우는 토큰과 가린 토큰 (learned and masked tokens)", rows)],
    )


def _running(tokenizer: Tokenizer, ids: list[int], mask: list[int], colour: bool) -> str:
    """The example as text: colours on a terminal, ⟦learned⟧ elsewhere. Characters cut in pieces are whole here."""
    out = []
    for learned, group in groupby(zip(ids, mask, strict=True), key=lambda pair: pair[1]):
        text = show(tokenizer.decode_bytes(i for i, _ in group))
        if colour:
            out.append(f"{GREEN if learned else GREY}{text}{PLAIN}")
        else:
            out.append(f"⟦{text}⟧" if learned else text)
    return "".join(out)


def _listed(
    tokenizer: Tokenizer, ids: list[int], pieces: list[str], mask: list[int], colour: bool
) -> list[str]:
    digits = len(str(tokenizer.vocab_size))
    out = []
    for i, piece, m in zip(ids, pieces, mask, strict=True):
        line = f"{'+' if m else '·'} {i:>{digits}}  [{piece}]"
        out.append(f"{GREEN if m else GREY}{line}{PLAIN}" if colour else line)
    return out


def tokenizer_facts(tokenizer: Judged) -> Result:
    """What a tokenizer is: kind, sizes, control tokens, longest tokens."""
    from kodata.report import blocks

    facts = facts_of(tokenizer)
    if isinstance(tokenizer, Tokenizer):
        facts["대화 틀 (chat template)"] = template_name(template_of(tokenizer))
    return Result(
        summary={
            "kind": tokenizer.kind,
            "vocab_size": tokenizer.vocab_size,
            "fingerprint": tokenizer.fingerprint,
        },
        lines=[f"{k}: {v:,}" if isinstance(v, int) else f"{k}: {v}" for k, v in facts.items()],
        report=[blocks.facts("토크나이저 (tokenizer)", facts)],
    )
