"""Text out of a model, token by token: one definition for the torch backend and the engine."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict, Unpack

import numpy as np

from kobitnet.engine.sampling import penalise, pick
from kodata.run.errors import UserError


class Sampling(TypedDict, total=False):
    """How the next token is drawn from its logits (`kobitnet.engine.sampling`); nothing given is greedy."""

    temperature: float
    top_k: int
    top_p: float
    seed: int
    repetition_penalty: float


class Writer(ABC):
    """steps(), stream() and generate() of a backend that checks ids and reads them. The same call gives the same ids."""

    @property
    @abstractmethod
    def positions(self) -> int:
        """The most tokens the model reads."""

    @abstractmethod
    def _check(self, ids: Sequence[int]) -> np.ndarray:
        """(n,) ids the model can read. Raises UserError for others."""

    @abstractmethod
    def _reader(self, length: int) -> Callable[[np.ndarray], np.ndarray]:
        """A function that reads ids (n,) behind all it has read and returns the logits (vocab,) float32 of the next one;
        it will read `length` ids at most."""

    def generate(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int] = (),
        **sampling: Unpack[Sampling],
    ) -> list[int]:
        """New ids, the stop token not included; temperature 0 is greedy (the lowest id wins a tie)."""
        return list(self.stream(ids, max_new_tokens, stop_ids=stop_ids, **sampling))

    def stream(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int] = (),
        **sampling: Unpack[Sampling],
    ) -> Iterator[int]:
        """generate(), one id at a time."""
        stop = set(stop_ids)
        for token, _ in self.steps(ids, max_new_tokens, **sampling):
            if token in stop:
                return
            yield token

    def steps(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        repetition_penalty: float = 1.0,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (next id, its logits (vocab,)) until max_new_tokens or the model's last position.

        Raises UserError for ids the model cannot read, a prompt that leaves no room, and logits that are no numbers.
        """
        tokens = self._check(ids)
        count = max(min(max_new_tokens, room(len(tokens), self.positions)), 0)
        read = self._reader(len(tokens) + count)
        generator = np.random.default_rng(seed)
        seen: list[int] = tokens.tolist()
        new = tokens
        for _ in range(count):
            row = read(new)
            scores = penalise(row, seen, repetition_penalty)
            token = pick(scores, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
            yield token, row
            seen.append(token)
            new = np.array([token])


def room(prompt: int, positions: int) -> int:
    """Positions left after a prompt of so many tokens. Raises UserError for none."""
    if prompt >= positions:
        raise UserError(
            f"입력이 너무 깁니다 (prompt too long: {prompt} tokens, the model reads {positions})",
            help="앞부분을 줄이세요 (shorten it)",
        )
    return positions - prompt
