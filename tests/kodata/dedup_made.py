"""Documents and corpora that the tests of kodata dedup share."""

import json
from pathlib import Path

import numpy as np

from kodata.doc import Corpus, Document, read_records, write_shard

STORY = (
    "도서관은 누구나 책을 읽고 배울 수 있는 곳이다. 우리 마을 도서관은 아침 아홉 시에 문을 열고 저녁 여섯 시에 닫는다. "
    "책을 빌리려면 회원증이 있어야 하며, 한 번에 다섯 권까지 두 주 동안 빌릴 수 있다. "
)
WEATHER = "내일은 전국이 대체로 맑겠으나 남해안에는 오후부터 구름이 많아지고 밤에 비가 조금 오겠다. 낮 기온은 오늘보다 높겠다. "


def doc(name: str, text: str, source: str = "가", **meta: object) -> Document:
    return Document(name, text, source, dict(meta))


def corpus(folder: Path, *shards: list[Document]) -> Path:
    for i, documents in enumerate(shards):
        with write_shard(folder / f"{i:05d}.jsonl.zst") as out:
            for document in documents:
                out.write(document)
    return folder


def dropped(path: Path) -> dict[str, dict]:
    records = [r for shard in sorted((path / "dropped").glob("*.zst")) for _, r in read_records(shard)]
    return {r["id"]: r["drop"] for r in records}


def kept(path: Path) -> list[str]:
    return [d.id for d in Corpus(path)]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(path: Path) -> dict[str, bytes]:
    names = [p for d in ("docs", "dropped") for p in sorted((path / d).glob("*"))]
    return {str(p.relative_to(path)): p.read_bytes() for p in [*names, path / "clusters.jsonl"]}


def mixed(shards: int) -> list[list[Document]]:
    """Sentences in many orders: exact copies, near copies of all degrees, strangers."""
    rng = np.random.default_rng(7)
    words = [
        f"{a}{b}"
        for a in ("학교", "나무", "바다", "구름", "산길", "책상")
        for b in ("에서", "까지", "처럼", "보다", "마다")
    ]
    bases = [" ".join(rng.choice(words, 60)) for _ in range(6)]
    out = []
    for s in range(shards):
        documents = []
        for i in range(25):
            tokens = bases[rng.integers(len(bases))].split()
            for _ in range(int(rng.choice([0, 0, 1, 3, 12]))):
                tokens[rng.integers(len(tokens))] = str(rng.choice(words))
            documents.append(doc(f"{s}-{i}", " ".join(tokens), f"원천{s % 2}"))
        out.append(documents)
    return out
