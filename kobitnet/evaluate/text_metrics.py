"""Scores of written answers against references: ROUGE, BLEU, chrF and METEOR by the libraries of record, on morphemes.

Korean words carry their particles (집에, 집을, 집은), so words as tokens punish every other particle and characters reward
chance. ROUGE, BLEU and METEOR here see Kiwi's morphemes, verbs in dictionary form included; chrF needs no tokens at all.
rouge-score's own tokenizer would delete everything that is not a-z0-9.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from kodata.run.errors import UserError

TEXT_METRICS = ("rouge1", "rouge2", "rougeL", "bleu", "chrf", "meteor")


def require() -> None:
    """Raise UserError when a library of the `eval` extra is missing: said before an hour of work, not after."""
    from importlib.util import find_spec

    missing = [name for name in ("rouge_score", "sacrebleu", "nltk") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"글 평가 라이브러리가 없습니다 (text metric libraries missing): {', '.join(missing)}",
            "pip install 'kobitnet[eval]'",
        )


@cache
def _kiwi() -> Any:
    from kotok.kiwi import load_kiwi

    return load_kiwi(1)


def morphemes(text: str) -> list[str]:
    """The forms of a text's morphemes, lower case, by Kiwi."""
    return [token.form.lower() for token in _kiwi().tokenize(text)]


class _Morphemes:
    """What rouge-score calls a tokenizer."""

    @staticmethod
    def tokenize(text: str) -> list[str]:
        return morphemes(text)


class _NoThesaurus:
    """METEOR's synonym step without WordNet, which has no Korean that may be shipped."""

    @staticmethod
    def synsets(word: str) -> list[Any]:
        return []


class _NoStemmer:
    """Morphemes are stems already."""

    @staticmethod
    def stem(word: str) -> str:
        return word


def item_scores(prediction: str, answers: Sequence[str]) -> dict[str, float]:
    """rouge1, rouge2, rougeL (F), chrf and meteor of one answer, the best over its references, each from 0 to 1."""
    from nltk.translate.meteor_score import single_meteor_score
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import CHRF

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Morphemes())
    out = dict.fromkeys(("rouge1", "rouge2", "rougeL", "meteor"), 0.0)
    said = morphemes(prediction)
    for answer in answers:
        for name, score in scorer.score(answer, prediction).items():
            out[name] = max(out[name], float(score.fmeasure))
        right = morphemes(answer)
        if said and right:
            found = single_meteor_score(right, said, stemmer=_NoStemmer(), wordnet=_NoThesaurus())
            out["meteor"] = max(out["meteor"], float(found))
    out["chrf"] = CHRF().sentence_score(prediction, list(answers)).score / 100 if answers else 0.0
    return out


def corpus_bleu(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """BLEU (0 to 1) of a whole set on morphemes; items may have different numbers of references."""
    from sacrebleu.metrics import BLEU

    if not predictions:
        return 0.0
    most = max(len(a) for a in answers)
    references: list[Any] = [
        [" ".join(morphemes(a[i])) if i < len(a) else None for a in answers] for i in range(most)
    ]
    said = [" ".join(morphemes(p)) for p in predictions]
    return float(BLEU(tokenize="none").corpus_score(said, references).score) / 100
