"""`Engine`: load a b1.58 model and run it on the CPU. One interface with the torch backend."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kobitnet.engine import cpu
from kobitnet.engine.config import ModelConfig, model_folder, read_config
from kobitnet.engine.load import load_model
from kobitnet.engine.reference import as_ids, check_ids
from kodata.run.errors import UsageError, UserError

CHUNK = 256  # prompt tokens a native call takes: Ctrl-C is heard between calls


class Engine:
    """A loaded model. The same call gives the same bits for any number of threads and any way of cutting the tokens."""

    name = "engine"

    def __init__(self, model: Any, config: ModelConfig, folder: Path | None, threads: int):
        self.model = model
        self.config = config
        self.folder = folder
        self.threads = threads
        self.head_bf16 = False
        """The head is kept in bf16."""
        self._scored: tuple[np.ndarray, Any] | None = None  # context of the last score() and its cache

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None, head: str = "auto") -> "Engine":
        """Open a run folder or a transformers model folder (latents, or packed in either scale convention).

        threads: None takes the physical cores this process may use. head: fp32, bf16 (half the memory traffic, logits
        rounded), or auto (as stored).

        Raises:
            UserError: not a b1.58 model, or a broken file.
        """
        if head not in ("auto", "fp32", "bf16"):
            raise UsageError(f"head 는 auto, fp32, bf16 중 하나 (head must be auto, fp32 or bf16): {head}")
        folder = model_folder(path)
        config = read_config(folder)
        native = cpu.native()
        if native is None:
            cpu.warn_slow()
        count = cpu.set_threads(threads)
        model, bf16 = load_model(folder, config, native, head)
        engine = cls(model, config, folder, count)
        engine.head_bf16 = bf16
        return engine

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer inside the model folder (kotok)."""
        from kotok.tokenizer import load

        if self.folder is None:
            raise UserError("토크나이저가 없습니다 (this engine has no model folder, so no tokenizer)")
        return load(self.folder)

    @property
    def positions(self) -> int:
        """The most tokens the model reads."""
        return self.config.max_len

    @property
    def isa(self) -> str:
        """The instruction set in use (`python` without native code)."""
        native = cpu.native()
        return "python" if native is None or not isinstance(self.model, native.Model) else native.isa()

    # ---- scores ---------------------------------------------------------------------------------

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """(n, vocab) float32: row t scores the token after ids[:t + 1]."""
        tokens, cache = self._check(ids), self.model.cache()
        out = np.empty((len(tokens), self.config.vocab), np.float32)
        for begin in range(0, len(tokens), CHUNK):
            out[begin : begin + CHUNK] = self.model.forward(cache, tokens[begin : begin + CHUNK], "all")
        return out

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        """(n - 1,) float32: log p(ids[t + 1] | ids[:t + 1]), natural logarithm."""
        tokens = self._check(ids)
        return self._logprobs(self.model.cache(), tokens[:-1], tokens[1:])

    def score(self, context: Sequence[int], continuation: Sequence[int]) -> np.ndarray:
        """(len(continuation),) float32: log p of each continuation token after the context.

        The longest common prefix with the context of the previous call is not computed again, so the choices of a
        question cost their own tokens only. The context must not be empty.
        """
        if not len(continuation):
            return np.empty(0, np.float32)
        tokens = self._check([*context, *continuation])
        n = len(context)
        if not n:
            raise UserError(
                "빈 문맥 (empty context)",
                help="문서 시작 토큰을 앞에 두세요 (put an end-of-text token first)",
            )
        head = tokens[: n - 1]
        known, cache = self._scored or (tokens[:0], self.model.cache())
        same = _common(known, head)
        cache.truncate(same)
        self._scored = None  # not valid while it changes
        self._prefill(cache, head[same:])
        result = self._logprobs(cache, tokens[n - 1 : -1], tokens[n:])
        cache.truncate(len(head))
        self._scored = head, cache
        return result

    # ---- generation -----------------------------------------------------------------------------

    def generate(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        stop_ids: Sequence[int] = (),
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        repetition_penalty: float = 1.0,
    ) -> list[int]:
        """New ids, the stop token not included; temperature 0 is greedy (the lowest id wins a tie)."""
        return list(
            self.stream(ids, max_new_tokens, stop_ids, temperature, top_k, top_p, seed, repetition_penalty)
        )

    def stream(
        self,
        ids: Sequence[int],
        max_new_tokens: int,
        stop_ids: Sequence[int] = (),
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        repetition_penalty: float = 1.0,
    ) -> Iterator[int]:
        """generate(), one id at a time."""
        stop = set(stop_ids)
        for token, _ in self.steps(
            ids,
            max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            repetition_penalty=repetition_penalty,
        ):
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
        """Yield (next id, its logits (vocab,)) until max_new_tokens or the model's last position."""
        from kobitnet.evaluate.backend import pick

        if not repetition_penalty > 0:
            raise UsageError(f"repetition_penalty 는 0보다 큽니다 (must be above 0): {repetition_penalty}")
        tokens, cache = self._check(ids), self.model.cache()
        room = self.config.max_len - len(tokens)
        if room < 1:
            raise UserError(
                f"입력이 너무 깁니다 (prompt of {len(tokens)} tokens, the model reads {self.config.max_len})",
                help="앞부분을 줄이세요 (shorten it)",
            )
        generator = np.random.default_rng(seed)
        self._prefill(cache, tokens[:-1])
        seen = list(tokens)
        step = tokens[-1:]
        for _ in range(min(max_new_tokens, room)):
            row = self.model.forward(cache, step, "last")[0]
            scores = row if repetition_penalty == 1.0 else _penalise(row, seen, repetition_penalty)
            token = pick(scores, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
            yield token, row
            seen.append(token)
            step = as_ids([token])

    # ---- inside ---------------------------------------------------------------------------------

    def _check(self, ids: Sequence[int]) -> np.ndarray:
        return as_ids(check_ids(ids, self.config.vocab, self.config.max_len))

    def _prefill(self, cache: Any, tokens: np.ndarray) -> None:
        for begin in range(0, len(tokens), CHUNK):
            self.model.forward(cache, tokens[begin : begin + CHUNK], "nothing")

    def _logprobs(self, cache: Any, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
        parts = [
            self.model.logprobs(cache, tokens[b : b + CHUNK], targets[b : b + CHUNK])
            for b in range(0, len(tokens), CHUNK)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _common(a: np.ndarray, b: np.ndarray) -> int:
    """Length of the common prefix."""
    n = min(len(a), len(b))
    different = np.nonzero(a[:n] != b[:n])[0]
    return int(different[0]) if len(different) else n


def _penalise(row: np.ndarray, seen: Sequence[int], penalty: float) -> np.ndarray:
    """Logits of seen ids divided (positive) or multiplied (negative) by the penalty (CTRL, arXiv 1909.05858)."""
    row = row.copy()
    ids = np.unique(np.asarray(seen))
    row[ids] = np.where(row[ids] > 0, row[ids] / penalty, row[ids] * penalty)
    return row
