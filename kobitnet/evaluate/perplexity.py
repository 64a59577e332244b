"""Perplexity and bits per byte of held-out documents, in strided windows that never cross a document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from kobitnet.engine.sampling import finite
from kobitnet.evaluate.backend import Backend
from kotok.shards import Shards


@dataclass(kw_only=True, slots=True)
class DocumentScore:
    """One document: nats over its tokens (end-of-text included), number of tokens, UTF-8 bytes of its text."""

    nats: float
    tokens: int
    bytes: int


@dataclass(kw_only=True, slots=True)
class Score:
    """A set of documents."""

    documents: int
    tokens: int
    bytes: int
    nats: float
    perplexity: float
    """exp(nats / token); depends on the tokenizer."""
    bits_per_byte: float
    """nats / ln 2 / byte; comparable between tokenizers."""
    stderr: float
    """Standard error of bits_per_byte over documents (ratio estimator); NaN with one document."""

    def plain(self) -> dict[str, float | None]:
        """As JSON, which has no NaN."""
        return {k: None if math.isnan(v) else v for k, v in asdict(self).items()}


def windows(length: int, context: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(begin, end, first): read ids[begin:end], count the targets at first .. end - 1. Every target 1 .. length - 1 is counted
    once; in every window but the first it has at least context - stride tokens before it."""
    begin, first = 0, 1
    while first < length:
        end = min(begin + context, length)
        yield begin, end, first
        first, begin = end, begin + stride


def document_nats(backend: Backend, ids: Sequence[int], context: int, stride: int) -> float:
    """-sum log p(ids[t] | ids[:t]) for t >= 1, in nats. Raises UserError when the model computes NaN."""
    total = 0.0
    for begin, end, first in windows(len(ids), context, stride):
        logprobs = backend.logprobs(ids[begin:end])  # entry j belongs to the target at begin + j + 1
        total -= float(np.asarray(logprobs, dtype=np.float64)[first - begin - 1 :].sum())
    return finite(total)


def score_documents(
    backend: Backend, shards: Shards, *, context: int, stride: int, max_tokens: int
) -> Iterator[DocumentScore]:
    """Documents in stored order until `max_tokens` are scored (0 = all).

    Each is read after an end-of-text token, which is what stands before a document in training, so its first token counts.
    """
    sizes = backend.tokenizer.token_bytes()
    done = 0
    for number in range(len(shards)):
        tokens = shards.tokens(number)
        ids = [backend.tokenizer.eot_id, *tokens.tolist()]
        yield DocumentScore(
            nats=document_nats(backend, ids, context, stride),
            tokens=len(tokens),
            bytes=int(sizes[tokens.astype(np.int64)].sum()),
        )
        done += len(tokens)
        if max_tokens and done >= max_tokens:
            return


def combine(scores: Sequence[DocumentScore]) -> Score:
    """Totals, with the standard error of the ratio sum(bits) / sum(bytes) over documents."""
    nats, tokens = sum(s.nats for s in scores), sum(s.tokens for s in scores)
    nbytes = max(sum(s.bytes for s in scores), 1)
    bits = nats / math.log(2) / nbytes
    n = len(scores)
    residual = sum((s.nats / math.log(2) - bits * s.bytes) ** 2 for s in scores)
    stderr = math.sqrt(residual * n / (n - 1)) / nbytes if n > 1 else float("nan")
    return Score(
        documents=n,
        tokens=tokens,
        bytes=nbytes,
        nats=nats,
        perplexity=math.exp(min(nats / max(tokens, 1), 700)),
        bits_per_byte=bits,
        stderr=stderr,
    )
