"""Toy inputs for the trainer's tests: a byte tokenizer with a few merges, and shards of hand-written Korean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kobitnet import model as sizes
from kobitnet.model import Preset
from kobitnet.train import TrainConfig, train
from kotok.shards import ShardWriter
from kotok.tokenizer import Tokenizer, build

SMALL = Preset(hidden=64, intermediate=128, layers=2, heads=2, kv_heads=1, lr=4e-3, lr2=2e-3)

SENTENCES = [
    "봄이 오면 강가에 버드나무가 먼저 푸르러진다.",
    "할머니는 장독대 옆에서 된장을 푸며 노래를 부르셨다.",
    "기차는 새벽 다섯 시에 부산역을 떠나 서울로 간다.",
    "도서관 창가 자리는 늘 먼저 온 사람이 차지한다.",
    "비가 그치자 아이들이 운동장으로 뛰어나왔다.",
    "그 섬에는 우체국이 하나, 가게가 둘 있다.",
    "농부는 가을볕에 고추를 널어 말린다.",
    "저녁이면 골목마다 밥 짓는 냄새가 났다.",
]
QUESTIONS = [
    ("봄에 먼저 푸르러지는 나무는?", "버드나무입니다.", "모릅니다."),
    ("기차는 몇 시에 떠나나요?", "새벽 다섯 시에 떠납니다.", "기차는 없습니다."),
    ("섬에 가게가 몇 곳인가요?", "두 곳입니다.", "많습니다, 아주 많습니다."),
    ("고추는 어디에 말리나요?", "가을볕에 널어 말립니다.", "냉장고."),
    ("아이들은 어디로 뛰어나왔나요?", "운동장으로 뛰어나왔습니다.", "집으로."),
    ("저녁 골목에서는 무슨 냄새가 나나요?", "밥 짓는 냄새가 납니다.", "글쎄요."),
]


def tokenizer() -> Tokenizer:
    """256 bytes, 48 merges (the lead bytes of Hangul first), 16 control tokens: 320 ids."""
    merges: list[tuple[int, int, int]] = []
    for lead in (0xEA, 0xEB, 0xEC):
        for second in range(0x80, 0x90):
            merges.append((lead, second, 256 + len(merges)))
    return build(merges, "llama-bpe")


def text_shards(folder: Path, *, documents: int = 60) -> Path:
    """Text shards with a val split, tokenizer inside; about 5,000 tokens."""
    made = tokenizer()
    with ShardWriter(
        folder, kind="text", vocab_size=made.vocab_size, tokenizer_fingerprint=made.fingerprint
    ) as writer:
        for i in range(documents):
            text = " ".join(SENTENCES[(i * 3 + j * (1 + i % 5)) % len(SENTENCES)] for j in range(1 + i % 4))
            writer.write(
                [*made.encode(text), made.eot_id],
                split="val" if i % 10 == 9 else "train",
                nbytes=len(text.encode()),
            )
    made.save(folder / "tokenizer")
    return folder


def pretrained(
    folder: Path, *, steps: int, batch_size: int = 4, preset: Preset = SMALL, **changes: Any
) -> Path:
    """folder/run: a model of a few steps on folder/text, which are made too."""
    settings = {"seq_len": 64, "threads": 1, "eval_every": 0, **changes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sizes.PRESETS, "tiny", preset)
        train(
            text_shards(folder / "text"),
            output=folder / "run",
            config=TrainConfig(steps=steps, batch_size=batch_size, **settings),
        )
    return folder / "run"


def turn(made: Tokenizer, question: str, answer: str) -> tuple[list[int], list[int]]:
    """ids and mask of one question and answer in the shape of the default template."""
    prompt = [*made.encode(f"User: {question}"), made.end_of_turn_id, *made.encode("\nAssistant:")]
    learned = [*made.encode(f" {answer}"), made.end_of_turn_id]
    return prompt + learned, [0] * len(prompt) + [1] * len(learned)


def chat_shards(folder: Path) -> Path:
    """Chat shards: one document a question, val too."""
    made = tokenizer()
    with ShardWriter(
        folder, kind="chat", vocab_size=made.vocab_size, tokenizer_fingerprint=made.fingerprint
    ) as writer:
        for i, (question, answer, _) in enumerate(QUESTIONS * 2):
            writer.write(*turn(made, question, answer), split="val" if i >= 10 else "train")
    made.save(folder / "tokenizer")
    return folder


def pair_shards(folder: Path) -> Path:
    """Pair shards: chosen and rejected answers of each question."""
    made = tokenizer()
    with ShardWriter(
        folder, kind="pair", vocab_size=made.vocab_size, tokenizer_fingerprint=made.fingerprint
    ) as writer:
        for question, chosen, rejected in QUESTIONS:
            writer.write(*turn(made, question, chosen))
            writer.write(*turn(made, question, rejected))
    made.save(folder / "tokenizer")
    return folder
