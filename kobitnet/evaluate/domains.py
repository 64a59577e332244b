"""Perplexity and bits per byte of texts by domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kobitnet.evaluate.perplexity import DocumentScore, Score, combine, document_nats

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend

Z95 = 1.959963984540054
MAX_DOMAINS = 200


def score_domains(
    backend: Backend, paths: Sequence[str | Path], *, context: int, stride: int, max_tokens: int
) -> dict[str, Score]:
    """Documents by their `kind` (else their source), the first `max_tokens` of each (0 = all), scored as held-out shards are.

    Raises UserError for what is no corpus, or without documents.
    """
    from kodata.doc import Corpus
    from kodata.run.errors import UserError
    from kodata.run.progress import progress

    corpus, tokenizer = Corpus(*paths), backend.tokenizer
    scores: dict[str, list[DocumentScore]] = {}
    done: dict[str, int] = {}
    with progress("분야별 혼란도 (perplexity by domain)", total=None, unit="토큰") as bar:
        for document in corpus.documents():
            domain = str(document.meta.get("kind") or document.source or "–")[:80]
            if (max_tokens and done.get(domain, 0) >= max_tokens) or (
                domain not in done and len(done) >= MAX_DOMAINS
            ):
                continue
            ids = [tokenizer.eot_id, *tokenizer.encode(document.text), tokenizer.eot_id]
            scores.setdefault(domain, []).append(
                DocumentScore(
                    nats=document_nats(backend, ids, context, stride),
                    tokens=len(ids) - 1,
                    bytes=len(document.text.encode()),
                )
            )
            done[domain] = done.get(domain, 0) + len(ids) - 1
            bar.advance(len(ids) - 1)
    if not scores:
        raise UserError(f"문서가 없습니다 (no documents): {', '.join(map(str, paths))}")
    return {domain: combine(found) for domain, found in sorted(scores.items())}


def blocks_of(found: dict[str, Score]) -> list[dict[str, Any]]:
    """The table of the report, bits per byte with its 95 % interval."""
    from kodata.report import blocks

    return [
        blocks.table(
            "분야별 점수 (by domain)",
            ["분야 (domain)", "문서 (documents)", "토큰 (tokens)", "혼란도 (perplexity)", "바이트당 비트 (bits/byte)",
             "95 % 아래 (low)", "95 % 위 (high)"],
            [
                [name, s.documents, s.tokens, round(s.perplexity, 2), round(s.bits_per_byte, 4),
                 *(None if math.isnan(s.stderr) else round(s.bits_per_byte + sign * Z95 * s.stderr, 4) for sign in (-1, 1))]
                for name, s in found.items()
            ],
            note="혼란도는 토크나이저에 달렸고 바이트당 비트는 아닙니다 (perplexity depends on the tokenizer, bits per byte does not).",
        )
    ]  # fmt: skip
