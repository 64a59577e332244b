"""`kodata train-lm` and `kodata train-quality`: the models that `kodata score` uses, from the user's own examples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from kodata.doc import Corpus, Document
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import Flat, Fresh, Inputs, Output, Parameter, Seed
from kodata.run.folder import open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kodata.score.charlm import CharLM, train
from kodata.score.classifier import (
    Classifier,
    auc,
    bag,
    calibration,
    calibration_error,
    fit,
    pieces,
    quantised,
)
from kodata.score.config import LmConfig, QualityConfig
from kodata.score.labels import labelled
from kodata.score.sample import held_out, sampled

VERSION = 1

Label = Annotated[
    str | None,
    Parameter(
        help="모듈:함수나 {id, label} JSONL, 교육적 가치처럼 정도를 배움 (module:function or JSONL of labels: learn a degree)"
    ),
]
Good = Annotated[
    list[str] | None,
    Parameter(help="좋은 글 (good documents)", consume_multiple=True, negative=()),
]
Bad = Annotated[
    list[str] | None,
    Parameter(
        help="나쁜 글, 없으면 좋은 글을 망가뜨려 만듦 (bad documents; none: good ones, spoiled)",
        consume_multiple=True,
        negative=(),
    ),
]


def train_lm(
    inputs: Inputs,
    /,
    *,
    output: Output,
    config: Annotated[LmConfig | None, Flat] = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> Result:
    """깨끗한 글로 글자 n-그램 언어 모델을 배움 (train a character n-gram language model on clean text).

    The output is one file for `kodata score --lm`; every fifth document, by hash of its id, is held out and its
    bits a character are reported. Memory is about 80 bytes a character of the sample.
    Raises UserError: missing or unfinished inputs, no text.
    """
    config = config or LmConfig()
    corpus = Corpus(*inputs)
    with open_run(
        output,
        tool="kodata",
        verb="train-lm",
        config=config,
        inputs=list(inputs),
        seed=seed,
        fresh=fresh,
        kind="file",
    ) as run:
        if run.done:
            return run.result()
        documents = _read(corpus, config.chars, seed)
        learn = [d.text for d in documents if not held_out(d.id)] or [d.text for d in documents]
        rest = [d for d in documents if held_out(d.id)]
        model = train(learn, config.prune, config.characters)
        model.save(output)
        bits = model.bits([d.text for d in rest])
        sizes = np.array([len(d.text) for d in rest])
        summary: dict[str, Any] = {
            "documents": len(documents),
            "characters": sum(map(len, learn)),
            "vocabulary": len(model.characters),
            "ngrams": [len(g) for g in model.grams],
            "file_bytes": Path(output).stat().st_size,
            "held_out_documents": len(rest),
            "held_out_bits_per_character": float((bits * sizes).sum() / sizes.sum()) if len(rest) else None,
        }
        told = "-" if not rest else f"{summary['held_out_bits_per_character']:.3f}"
        return run.finish(
            summary=summary,
            report=[_facts("언어 모델 (language model)", summary)],
            lines=[
                f"배운 글 (learnt from): {summary['characters']:,}자, 글자 종류 (vocabulary) {len(model.characters):,}",
                f"남겨 둔 글 (held out): {len(rest):,}문서, 글자마다 {told} 비트 (bits a character)",
                f"크기 (size): {summary['file_bytes'] / 1e6:.2f} MB",
            ],
        )


def train_quality(
    inputs: Annotated[
        list[str] | None,
        Parameter(help="라벨을 붙일 글, --label 과 함께 (documents to label, with --label)", negative=()),
    ] = None,
    /,
    *,
    output: Output,
    good: Good = None,
    bad: Bad = None,
    label: Label = None,
    config: Annotated[QualityConfig | None, Flat] = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> Result:
    """좋은 글과 나쁜 글, 또는 라벨로 분류기를 배움 (train a quality classifier from good and bad text, or from labels).

    Two ways: `--good … [--bad …]` learns to tell them apart; `CORPUS --label module:function` (or a JSONL file of
    {id, label}) learns a degree, labels scaled to 0..1 by their least and greatest. Every fifth document is held out, calibrates the probability
    and gives the numbers reported. Where no bad text is given good text is spoiled by machine (mojibake, shuffled words, repetition,
    menus, noise): a model of that knows broken text, not dull text. The file is under 1 MB and the same for the same seed.
    Raises UserError: too few documents of one kind; labels that are all equal or no numbers.
    """
    config = config or QualityConfig()
    if bool(label) != bool(inputs) or bool(good) == bool(label) or (bad and not good):
        raise UsageError(
            "--good … [--bad …] 이나 말뭉치와 --label 가운데 하나입니다 (either --good … [--bad …], or a corpus and --label)",
            help="kodata train-quality --good wiki --bad spam -o q.model",
        )
    read = [*(inputs or []), *(good or []), *(bad or [])]
    if label and Path(label).is_file():
        read.append(label)
    settings = {**_plain(config), "label": label, "good": len(good or []), "bad": len(bad or [])}
    with open_run(
        output,
        tool="kodata",
        verb="train-quality",
        config=settings,
        inputs=read,
        seed=seed,
        fresh=fresh,
        kind="file",
    ) as run:
        if run.done:
            return run.result()
        if label:
            documents = _read(Corpus(*(inputs or [])), config.chars, seed)
            pairs = list(labelled(documents, label))
        else:
            pairs = [(d, 1.0) for d in _read(Corpus(*(good or [])), config.chars, seed)]
            if bad:
                pairs += [(d, 0.0) for d in _read(Corpus(*bad), config.chars, seed)]
            else:
                pairs += spoil([d for d, _ in pairs])
        model = learnt(pairs, seed, degree=bool(label))
        model.save(output)
        summary = {**model.facts, "file_bytes": Path(output).stat().st_size}
        return run.finish(
            summary=summary,
            report=[_facts("분류기 (classifier)", summary)],
            lines=[
                f"배운 문서 (learnt from): {summary['documents']:,}, 남겨 둔 문서 (held out): {summary['held_out']:,}",
                _told(summary),
                f"크기 (size): {summary['file_bytes'] / 1e6:.2f} MB",
            ],
        )


def spoil(documents: Sequence[Document]) -> list[tuple[Document, float]]:
    """Bad twins of good documents, label 0, with the id of the good one so that both are held out or neither."""
    from kodata.score.spoil import spoiled

    return [(Document(d.id, spoiled(d.text, d.id), d.source), 0.0) for d in documents]


def learnt(pairs: Sequence[tuple[Document, float]], seed: int, *, degree: bool) -> Classifier:
    """A classifier of the labelled documents. Raises UserError when there is nothing to tell apart."""
    values = np.array([label for _, label in pairs])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    out = np.array([held_out(d.id) for d, _ in pairs], bool)
    labels = (values - low) / (high - low) if high > low else values
    kinds = [int((labels[~out] >= 0.5).sum()), int((labels[~out] < 0.5).sum())] if len(values) else [0, 0]
    if high == low or min(kinds) < 2:
        raise UserError(
            f"가를 것이 모자랍니다: 좋은 문서 {kinds[0]}, 나쁜 문서 {kinds[1]} (too few documents of one kind to learn from)",
            help="문서를 더하거나 라벨이 서로 다른지 보십시오 (add documents, or labels that differ)",
        )
    bags, targets = [], []
    with progress("배울 글 (features)", total=len(pairs), unit="문서") as bar:
        for (document, _), label, kept in zip(pairs, labels, ~out, strict=True):
            bar.advance(1)
            if kept:
                for piece in pieces(document.text):
                    bags.append(bag(piece))
                    targets.append(label)
    aims = np.array(targets)
    w, b = fit(bags, aims, _weights(aims, degree), seed)
    weights, scale = quantised(w)
    model = Classifier(weights, scale, b, 1.0, 0.0, {})
    rest = [d.text for (d, _), o in zip(pairs, out, strict=True) if o]
    truth = labels[out]
    facts: dict[str, Any] = {
        "version": VERSION,
        "documents": int((~out).sum()),
        "pieces": len(bags),
        "held_out": int(out.sum()),
        "seed": seed,
        "label_low": low,
        "label_high": high,
    }
    raw = model.raw(rest)
    there = ~np.isnan(raw)
    raw, truth = raw[there], truth[there]
    share = _weights(truth, degree)
    model.slope, model.shift = calibration(raw, truth, share)
    model.facts = facts
    if len(raw):
        p = model.probability([text for text, t in zip(rest, there, strict=True) if t])
        facts["calibration_error"] = calibration_error(p, truth, share)
        facts["squared_error"] = float((share * (p - truth) ** 2).sum() / share.sum())
        if degree:
            facts["correlation"] = float(np.corrcoef(p, truth)[0, 1]) if len(p) > 2 and truth.std() else None
        else:
            facts["auc"] = auc(p, truth > 0.5) if len(set(truth.tolist())) == 2 else None
    return model


def _weights(labels: Any, degree: bool) -> Any:
    """Both classes count the same however many documents they have."""
    if degree or not len(labels):
        return np.ones(len(labels))
    share = float((labels > 0.5).mean())
    if share in (0.0, 1.0):
        return np.ones(len(labels))
    return np.where(labels > 0.5, 0.5 / share, 0.5 / (1 - share))


def _read(corpus: Corpus, chars: int, seed: int) -> list[Document]:
    with progress("읽기 (reading)", unit="문서") as bar:

        def told() -> Any:
            for document in corpus:
                bar.advance(1)
                yield document

        documents = sampled(told(), chars, seed, max(chars // 50, 1000))
    if not documents:
        raise UserError(
            f"글이 있는 문서가 없습니다 (no document with text): {', '.join(map(str, corpus.paths))}",
            help="kodata inspect 로 입력을 보십시오 (look at the input)",
        )
    return documents


def _told(summary: dict[str, Any]) -> str:
    parts = []
    for name, label in (
        ("auc", "AUC"),
        ("correlation", "상관 (correlation)"),
        ("calibration_error", "보정 오차 (calibration error)"),
    ):
        if summary.get(name) is not None:
            parts.append(f"{label} {summary[name]:.4f}")
    return "남겨 둔 문서에서 (on documents held out): " + (" · ".join(parts) or "-")


def _facts(title: str, summary: dict[str, Any]) -> dict[str, Any]:
    from kodata.report import blocks

    return blocks.facts(title, {k: str(v) if isinstance(v, list) else v for k, v in summary.items()})


def _plain(config: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(config)


__all__ = ["CharLM", "learnt", "spoil", "train_lm", "train_quality"]
