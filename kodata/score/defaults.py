"""Models built on first use from the corpus that is scored, where the user gives none.

No model comes with the package. `lm`: the corpus is cut into two halves by a hash of the id; each half's model scores the other half,
so that no document is scored by a model that learnt it. `quality`: in the same two halves, the documents as they
are against themselves spoiled by machine (kodata/score/spoil.py): it knows broken text from whole text and nothing about taste.
Both are kept in SCORES/models and are the same for the same corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kodata.doc import Corpus, Document
from kodata.run.errors import UserError
from kodata.run.progress import note
from kodata.score import charlm
from kodata.score.sample import fold, sampled
from kodata.score.train import learnt, spoil

LM_CHARS, QUALITY_CHARS = 5_000_000, 1_500_000
"""Characters each of the two models learns from."""
LONGEST = 50_000


def built(folder: Path, corpus: Corpus, name: str) -> tuple[Path, Path]:
    """The two model files of a scorer, built when they are not there. Raises UserError for a corpus too small for two halves."""
    files = (folder / "models" / f"{name}.0.model", folder / "models" / f"{name}.1.model")
    for half, file in enumerate(files):
        if file.exists():
            continue
        note(f"{name} 모델을 이 말뭉치에서 만듭니다 {half + 1}/2 (building a model from this corpus)")
        chars = LM_CHARS if name == "lm" else QUALITY_CHARS
        documents = sampled(_half(corpus, half), chars, 0, LONGEST)
        if not documents:
            raise UserError(
                f"말뭉치가 작아 {name} 모델을 만들 수 없습니다 (corpus too small to build a model from)",
                help=f"--{name} 로 모델을 주십시오 (give a model with --{name})",
            )
        if name == "lm":
            charlm.train([d.text for d in documents]).save(file)
        else:
            learnt([*((d, 1.0) for d in documents), *spoil(documents)], 0, degree=False).save(file)
    return files


def _half(documents: Iterable[Document], half: int) -> Iterator[Document]:
    return (d for d in documents if fold(d.id) == half)
