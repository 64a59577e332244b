"""Many conversations to ids and mask at once: what `kotok encode` uses, equal to `kotok.chat.render` one by one.

A built-in template writes the same pieces around the contents of every conversation with the same roles. So the
pieces are made once for each sequence of roles (a skeleton), all contents are encoded with one call, and ids and mask are put
together by array arithmetic: stretches of a pool that holds the encoded contents and the constant pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotok.chat import Train, control_id, encode_pieces, learned_messages, spec_of, turns_of
from kotok.template import ROLES, TemplateSpec, Turn

if TYPE_CHECKING:
    from kotok.tokenizer import Tokenizer

_CODES = {(role, train): 2 * i + train for i, role in enumerate(ROLES) for train in (False, True)}
_MARK = "\ue0ff"
"""Stands for a content while a skeleton is made; no built-in template holds it."""


class Flat(NamedTuple):
    """Conversations end to end: ids (n,) u32, mask (n,) u8, ends (conversations,) i64."""

    ids: npt.NDArray[np.uint32]
    mask: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]


@dataclass(slots=True)
class _Skeleton:
    """The stretches of all conversations with one sequence of roles. The i-th content is that of message i."""

    leads: list[str]
    """What the template writes before each content, encoded with it."""
    content: npt.NDArray[np.int64]
    """(stretches,) message whose content a stretch is, -1 for a constant."""
    start: npt.NDArray[np.int64]
    """(stretches,) where a constant stands in the pool of constants."""
    length: npt.NDArray[np.int64]
    """(stretches,) its tokens."""
    learned: npt.NDArray[np.uint8]
    """(stretches,) 1 where the stretch is learned."""


def render_flat(
    tokenizer: Tokenizer,
    conversations: Sequence[Sequence[Any]],
    template: str | TemplateSpec = "bitnet",
    train: Train = "assistant",
    threads: int = 1,
) -> Flat:
    """Ids and mask of many conversations (messages, turns or mappings). Raises what `kotok.chat.render` raises."""
    spec = spec_of(template)
    if spec.only_answers:  # a user's template may do anything with a content: piece by piece
        from kotok.chat import render_many

        rows = render_many(tokenizer, conversations, spec, train, threads)
        ends = np.cumsum([len(ids) for ids, _ in rows], dtype=np.int64)
        flat = np.fromiter((i for ids, _ in rows for i in ids), np.uint32, int(ends[-1]) if len(ends) else 0)
        return Flat(flat, np.fromiter((m for _, mask in rows for m in mask), np.uint8, len(flat)), ends)
    try:
        return _flat(tokenizer, spec, conversations, train, threads)
    except (AttributeError, KeyError, TypeError):  # mappings, or something wrong that turns_of names
        return _flat(tokenizer, spec, [turns_of(messages) for messages in conversations], train, threads)


def _flat(
    tokenizer: Tokenizer,
    spec: TemplateSpec,
    conversations: Sequence[Sequence[Any]],
    train: Train,
    threads: int,
) -> Flat:
    """`render_flat` of objects with role, content and train."""
    messages = list(chain.from_iterable(conversations))
    codes = bytes([_CODES[m.role, m.train] for m in messages])
    contents = [m.content for m in messages]
    stops = list(accumulate(map(len, conversations)))
    keys = [codes[a:b] for a, b in zip([0, *stops], stops, strict=False)]
    constants: list[int] = []
    made = [_skeleton(tokenizer, spec, key, train, constants) for key in dict.fromkeys(keys)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    kinds = [numbers[key] for key in keys]
    leads = {lead for skeleton in made for lead in skeleton.leads}
    if len(leads) == 1:  # no template has several at the time of writing
        lead = leads.pop()
        texts = [lead + content for content in contents] if lead else contents
    else:
        every = chain.from_iterable(made[kind].leads for kind in kinds)
        texts = [lead + content for lead, content in zip(every, contents, strict=True)]
    encoded, ends = tokenizer.encode_flat(texts, threads)
    return _joined(encoded, ends.astype(np.int64), np.asarray(kinds, np.int64), made, constants)


def _joined(
    encoded: npt.NDArray[np.uint32],
    ends: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.int64],
    skeletons: list[_Skeleton],
    constants: list[int],
) -> Flat:
    """All stretches of all conversations, gathered from one pool."""
    pool = np.concatenate([encoded.astype(np.uint32, copy=False), np.asarray(constants, np.uint32)])
    begins = np.concatenate([np.zeros(1, np.int64), ends])
    messages = np.asarray([len(s.leads) for s in skeletons], np.int64)[kinds] if skeletons else kinds
    stretches = np.asarray([len(s.start) for s in skeletons], np.int64)[kinds] if skeletons else kinds
    first_message = np.cumsum(messages) - messages
    last_stretch = np.cumsum(stretches)
    first_stretch = last_stretch - stretches
    total = int(last_stretch[-1]) if len(kinds) else 0
    start, length, learned = np.zeros(total, np.int64), np.zeros(total, np.int64), np.zeros(total, np.uint8)
    for number, skeleton in enumerate(skeletons):
        rows = np.flatnonzero(kinds == number)
        places = first_stretch[rows][:, None] + np.arange(len(skeleton.start))
        message = first_message[rows][:, None] + np.maximum(skeleton.content, 0)
        constant = skeleton.content < 0
        start[places] = np.where(constant, skeleton.start + len(encoded), begins[message])
        length[places] = np.where(constant, skeleton.length, begins[message + 1] - begins[message])
        learned[places] = skeleton.learned
    stops = np.cumsum(length)
    where = np.repeat(start - stops + length, length)
    where += np.arange(len(where))
    out_ends = stops[last_stretch - 1] if total else np.zeros(0, np.int64)
    return Flat(pool[where], np.repeat(learned, length), out_ends)


def _skeleton(
    tokenizer: Tokenizer, spec: TemplateSpec, codes: bytes, train: Train, constants: list[int]
) -> _Skeleton:
    """The skeleton of the conversations with these codes (role and train of each message)."""
    turns = [Turn(ROLES[code // 2], _MARK, bool(code % 2)) for code in codes]
    pieces = spec.pieces(turns, False)
    learned = learned_messages(turns, train)
    fixed = encode_pieces(tokenizer, [[p for p in pieces if p.control or _MARK not in p.text]], 1)
    leads: list[str] = []
    rows: list[tuple[int, int, int, int]] = []
    for piece in pieces:
        counts = int(piece.message in learned)
        if not piece.control and _MARK in piece.text:
            assert piece.message == len(leads) and piece.text.endswith(_MARK)
            rows.append((len(leads), 0, 0, counts))
            leads.append(piece.text[: -len(_MARK)])
            continue
        ids = [control_id(tokenizer, piece.text)] if piece.control else fixed[False, piece.text]
        rows.append((-1, len(constants), len(ids), counts))
        constants += ids
    columns = np.asarray(rows, np.int64).reshape(-1, 4)
    return _Skeleton(
        leads,
        columns[:, 0].copy(),
        columns[:, 1].copy(),
        columns[:, 2].copy(),
        columns[:, 3].astype(np.uint8),
    )
