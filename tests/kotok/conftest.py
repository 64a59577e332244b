"""A small Korean corpus written for these tests, and a tokenizer trained on it once."""

import json
from pathlib import Path

import pytest

SENTENCES = """
오늘 아침에는 안개가 짙어서 강 건너편이 보이지 않았습니다.
할머니는 장독대 옆에 앉아 고추를 다듬으며 옛이야기를 들려주셨다.
기차가 늦게 도착해서 우리는 역 앞 국숫집에서 저녁을 먹었습니다.
새로 산 자전거를 타고 강변을 따라 서쪽으로 달렸다.
도서관에서 빌린 책을 내일까지 반납해야 합니다.
비가 그치자 아이들이 마당으로 뛰어나와 무지개를 가리켰다.
시장에서 사 온 감자로 국을 끓이고 남은 것으로 전을 부쳤습니다.
그는 편지를 세 번이나 고쳐 쓰고도 부치지 못했다.
학교 운동장 끝에 있는 은행나무가 노랗게 물들었습니다.
선생님께서는 틀린 문제를 다시 풀어 보라고 하셨다.
밤새 내린 눈 때문에 버스가 다니지 않아 걸어서 출근했습니다.
오래된 사진 속에서 어머니는 나보다 어려 보였다.
컴퓨터가 갑자기 꺼져서 쓰던 글을 모두 잃어버렸습니다.
바닷가 마을에서는 새벽마다 배가 들어오는 소리가 들렸다.
형은 서울에서 일하고 누나는 부산에서 공부합니다.
"정말이야?" 하고 동생이 물었지만 아무도 대답하지 않았다.
이 프로그램은 2024년 3월 15일에 처음 배포되었습니다.
Python으로 작성한 코드를 GitHub에 올렸습니다. (version 1.2.3)
물이 끓으면 면을 넣고 4분 30초 동안 삶으세요.
한국어를 공부하는 사람들은 조사와 어미를 가장 어려워합니다.
""".strip().splitlines()


def documents():
    """200 documents: the sentences in varying order and company, some with lists, blank lines and Latin text."""
    out = []
    for i in range(200):
        picked = [SENTENCES[(i * 7 + k * 3) % len(SENTENCES)] for k in range(2 + i % 4)]
        text = ("\n\n" if i % 5 == 0 else " ").join(picked)
        if i % 9 == 0:
            text += f"\n  - 첫째 항목\n  - 둘째 항목 (item {i})\n"
        out.append(
            {
                "id": f"글{i:03d}",
                "text": text,
                "source": f"출처{i % 3}",
                "meta": {"kind": ["책", "신문"][i % 2]},
            }
        )
    return out


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """A folder with three JSONL shards."""
    folder = tmp_path_factory.mktemp("corpus")
    docs = documents()
    for n in range(3):
        lines = [json.dumps(d, ensure_ascii=False) for d in docs[n::3]]
        (folder / f"{n:05d}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tok_folder(corpus, tmp_path_factory) -> Path:
    """A plain byte-level BPE of 704 ids (Kiwi takes seconds to load; one slow test trains with it)."""
    from kotok.train import TrainConfig, train

    folder = tmp_path_factory.mktemp("tok") / "tok"
    train([str(corpus)], output=folder, config=TrainConfig(vocab_size=704, algorithm="bbpe"))
    return folder


@pytest.fixture(scope="session")
def tok(tok_folder):
    from kotok import load

    return load(tok_folder)
