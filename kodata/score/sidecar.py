"""Scores beside a corpus: one Parquet file a shard, rows in the shard's order, a column `id` and one float32 column a score.

    SCORES/scores/00000.parquet ...   SCORES/scores.json {"corpus": fingerprint, "shards": [names], "scorers": {name: version}}

Scores are computed once and cut where they are used: another threshold never rescores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kodata.doc import Corpus
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, atomic_open, read_json_object

Columns = dict[str, npt.NDArray[np.float32]]


def score_file(folder: Path, index: int) -> Path:
    """The scores of one shard."""
    return folder / "scores" / f"{index:05d}.parquet"


def write_scores(folder: Path, index: int, ids: Sequence[str], columns: Mapping[str, Any]) -> None:
    """Write the scores of one shard, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array(np.asarray(values, np.float32)) for name, values in columns.items()}
    table = pa.table({"id": pa.array(list(ids), pa.string()), **arrays})
    score_file(folder, index).parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(score_file(folder, index), "wb") as out:
        pq.write_table(table, out, compression="zstd")


def write_index(folder: Path, corpus: Corpus, scorers: Mapping[str, str]) -> None:
    """Say which corpus the scores belong to and which versions of which scorers made them."""
    names = [shard.name for shard in corpus.shards()]
    atomic_json(
        folder / "scores.json",
        {"corpus": corpus.fingerprint(), "shards": names, "scorers": dict(scorers)},
    )


class Scores:
    """Scores of a corpus, opened and checked against it.

    Raises:
        UserError: not a score folder; scores of other documents.
    """

    def __init__(self, folder: str | Path, corpus: Corpus):
        self.folder = Path(folder)
        file = self.folder / "scores.json"
        if not file.is_file():
            raise UserError(
                f"점수 폴더가 아닙니다 (not a score folder): {self.folder}",
                help="kodata score CORPUS -o SCORES 의 결과를 주십시오 (give a folder made by kodata score)",
            )
        self.index = read_json_object(file)
        shards, scorers = self.index.get("shards"), self.index.get("scorers")
        if not isinstance(shards, list) or not isinstance(scorers, dict):
            raise UserError(
                "점수 목록이 깨졌습니다 (broken index of scores)",
                help="같은 kodata score 명령을 다시 하십시오 (run the same kodata score again)",
                file=file,
            )
        self.names: list[str] = sorted(scorers)
        if len(shards) != len(corpus.shards()) or self.index.get("corpus") != corpus.fingerprint():
            raise UserError(
                f"다른 말뭉치의 점수입니다 (scores of another corpus, or of this one before it changed): {self.folder}",
                help="kodata score 를 이 말뭉치로 다시 하십시오 (score this corpus)",
            )

    def shard(self, index: int) -> tuple[list[str], Columns]:
        """(ids, {score: values}) of one shard."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = score_file(self.folder, index)
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(
                f"점수를 읽을 수 없습니다 (cannot read the scores): {error}",
                help="같은 kodata score 명령을 다시 하면 이어집니다 (run the same kodata score again)",
                file=path,
            ) from None
        numbers = {f.name for f in table.schema if pa.types.is_floating(f.type)}
        if not {"id", *self.names} <= set(table.column_names) or not set(self.names) <= numbers:
            raise UserError(
                f"점수 파일의 칸이 다릅니다 (columns of the scores differ): {table.column_names}",
                help="같은 kodata score 명령을 --fresh 로 다시 하십시오 (run kodata score again with --fresh)",
                file=path,
            )
        columns = {name: table[name].to_numpy().astype(np.float32) for name in self.names}
        return [str(name) for name in table["id"].to_pylist()], columns

    def beside(self, index: int, ids: Iterator[str]) -> Iterator[dict[str, float]]:
        """The scores of each document of a shard, checked id by id."""
        known, columns = self.shard(index)
        row = -1
        for row, document in enumerate(ids):
            if row >= len(known) or known[row] != document:
                raise UserError(
                    f"다른 문서의 점수입니다: {row}번째 문서 {document} (scores of other documents, at row {row})",
                    help="kodata score 를 이 말뭉치로 다시 하십시오 (score this corpus)",
                    file=score_file(self.folder, index),
                )
            yield {name: float(values[row]) for name, values in columns.items()}
        if row + 1 != len(known):
            raise UserError(
                f"점수가 문서보다 많습니다 (more scores than documents): {len(known)} > {row + 1}",
                help="kodata score 를 이 말뭉치로 다시 하십시오 (score this corpus)",
                file=score_file(self.folder, index),
            )
