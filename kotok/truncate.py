"""Conversations that are longer than a limit: what is cut, and never an example that has nothing left to learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from kotok.chat import Train, control_id, render_many, turns_of
from kotok.template import TemplateSpec
from kotok.tokenizer import Tokenizer
from kotok.tokenizer_json import BOS

Truncate = Literal["refuse", "oldest", "left", "right"]

_CONTINUATION = {bytes([b]) for b in range(0x80, 0xC0)}
"""Bytes of UTF-8 that never begin a character."""


class NothingToLearn(ValueError):
    """An example that would learn nothing, or does not fit; `reason` is a short stable name for counting."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def fit(
    tokenizer: Tokenizer,
    alternatives: Sequence[Sequence[Any]],
    rendered: Sequence[tuple[list[int], list[int]]],
    *,
    max_tokens: int | None,
    truncate: Truncate,
    template: str | TemplateSpec = "bitnet",
    train: Train = "assistant",
) -> tuple[list[tuple[list[int], list[int]]], bool]:
    """Rendered conversations of at most `max_tokens` tokens that all have something to learn: ([(ids, mask)], was cut).

    `alternatives`: one conversation, or the two of a pair, which share their prompt and lose the same turns of it.
    refuse: never cut. oldest: drop the oldest exchanges, keep the system message. left: cut tokens after the begin of
    text, of a pair the same ones of its prompt. right: cut tokens at the end. No cut goes through a character.

    Raises:
        NothingToLearn: one is too long and may not be cut, has no learned token left, or an answer of a pair would be cut
            from the left.
    """
    out = list(rendered)
    cut = max_tokens is not None and any(len(ids) > max_tokens for ids, _ in out)
    if cut and max_tokens is not None:
        if truncate == "refuse":
            longest = max(len(ids) for ids, _ in out)
            raise NothingToLearn(
                "too_long", f"너무 깁니다 (too long): {longest} > {max_tokens} 토큰 (tokens)"
            )
        if truncate == "oldest":
            out = _drop_oldest(tokenizer, alternatives, max_tokens, template, train)
        elif truncate == "left":
            out = _cut_left(tokenizer, out, max_tokens)
        else:
            out = [_cut_right(tokenizer, ids, mask, max_tokens) for ids, mask in out]
        if len(out) > 1 and out[0][0] == out[1][0]:
            raise NothingToLearn(
                "truncated_away",
                "잘라 내니 두 답이 같습니다 (both answers of the pair are the same where they are cut)",
            )
    if not all(any(mask) for _, mask in out):
        what = (
            "잘라 내니 배울 답이 없습니다 (answer truncated away)"
            if cut
            else "배울 토큰이 없습니다 (nothing to learn)"
        )
        raise NothingToLearn("truncated_away" if cut else "nothing_to_learn", what)
    return out, cut


def _cut_left(
    tokenizer: Tokenizer, rendered: Sequence[tuple[list[int], list[int]]], max_tokens: int
) -> list[tuple[list[int], list[int]]]:
    """The same tokens cut from all, so that the answers of a pair keep one prompt; the begin of text stays."""
    first = 1 if rendered[0][0][:1] == [control_id(tokenizer, BOS)] else 0
    longest = max((ids for ids, _ in rendered), key=len)
    end = first + len(longest) - max_tokens
    while end < len(longest) and _inside_character(tokenizer, longest[end]):
        end += 1
    if len(rendered) > 1 and any(any(mask[:end]) for _, mask in rendered):
        raise NothingToLearn(
            "truncated_away",
            f"질문을 다 잘라도 답이 너무 깁니다 (an answer alone is over {max_tokens} tokens)",
        )
    return [(ids[:first] + ids[end:], mask[:first] + mask[end:]) for ids, mask in rendered]


def _cut_right(
    tokenizer: Tokenizer, ids: list[int], mask: list[int], max_tokens: int
) -> tuple[list[int], list[int]]:
    end = min(max_tokens, len(ids))
    while 0 < end < len(ids) and _inside_character(tokenizer, ids[end]):
        end -= 1
    return ids[:end], mask[:end]


def _inside_character(tokenizer: Tokenizer, i: int) -> bool:
    """Whether a token begins with a byte that continues the character before it."""
    return tokenizer.token(i)[:1] in _CONTINUATION


def _drop_oldest(
    tokenizer: Tokenizer,
    alternatives: Sequence[Sequence[Any]],
    max_tokens: int,
    template: str | TemplateSpec,
    train: Train,
) -> list[tuple[list[int], list[int]]]:
    conversations = [turns_of(messages) for messages in alternatives]
    first = conversations[0]
    system = [t for t in first[:1] if t.role == "system"]
    for start in range(len(system) + 1, min(map(len, conversations))):
        if first[start].role != "user":
            continue
        out = render_many(tokenizer, [[*system, *turns[start:]] for turns in conversations], template, train)
        if all(len(ids) <= max_tokens for ids, _ in out):
            return out
    raise NothingToLearn(
        "too_long", f"마지막 문답만으로도 너무 깁니다 (the last exchange alone is over {max_tokens} tokens)"
    )
