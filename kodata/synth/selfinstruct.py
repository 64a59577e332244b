"""New instructions from old ones: self-instruct (arXiv 2212.10560) in Korean, with seed tasks of this project.

A request shows a few instructions of the pool, seeds and made ones mixed, and asks for new ones; what is nearly in the
pool, cannot be done with text or is not Korean is left out. Rounds have a fixed number of requests, so that the result
does not depend on how many run at a time.
"""

import random
from importlib.resources import files

from kodata.synth.client import Ask

VERSION = 1
ROUND = 8
"""Requests of one round."""
NEW = 5
"""Instructions one request asks for."""
SHOWN_SEEDS, SHOWN_MADE = 5, 2
STALLED = 3
"""Rounds in a row that may bring nothing before the run ends."""
ASKER = (
    "system",
    "당신은 한국어 인공지능 비서를 시험할 과제를 만드는 사람입니다. 글만으로 답할 수 있는 과제를 한국어로 만듭니다.",
)


def seed_tasks() -> list[str]:
    """The instructions a pool begins with, written by hand."""
    text = files("kodata.synth").joinpath("seeds.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip()]


def ask_round(seeds: list[str], made: list[str], number: int, seed: int) -> list[Ask]:
    """The requests of round `number`, each with examples of its own."""
    asks = []
    for i in range(ROUND):
        rng = random.Random(f"self-instruct {VERSION} {seed} {number} {i}")
        shown = rng.sample(made, min(SHOWN_MADE, len(made)))
        shown += rng.sample(seeds, min(SHOWN_SEEDS + SHOWN_MADE - len(shown), len(seeds)))
        rng.shuffle(shown)
        examples = "\n".join(f"{n}. {task}" for n, task in enumerate(shown, 1))
        text = (
            f"다음은 과제의 예입니다.\n{examples}\n\n"
            f"이것들과 주제도 꼴도 다른 새 과제를 {NEW}개 만들어 주십시오. 글쓰기, 설명, 분류, 고치기, 계산, 계획, 요약, 상상처럼 여러 가지를 섞고, "
            "과제를 푸는 데 필요한 글이나 자료는 과제 안에 모두 적으십시오. 한 줄에 하나씩 '1. 과제' 꼴로만 적으십시오."
        )
        asks.append(Ask((ASKER, ("user", text)), seed * 1_000_003 + number * ROUND + i))
    return asks


def most_rounds(count: int) -> int:
    """Rounds after which no more instructions are asked for: four times what would do if all were good."""
    return 4 * -(-count // (ROUND * NEW)) + STALLED
