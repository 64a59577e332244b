"""`Engine`: load a b1.58 model and run it on the CPU. One interface with the torch backend."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from kobitnet.engine import cpu
from kobitnet.engine.config import ModelConfig, model_folder
from kobitnet.engine.load import HEADS, Source, load_model
from kobitnet.engine.reference import as_ids, check_context, check_ids
from kobitnet.engine.sampling import penalise, pick
from kobitnet.engine.writer import Writer, room
from kodata.run.errors import UsageError, UserError

CHUNK = 256  # prompt tokens a native call takes: Ctrl-C is heard between calls
_BUT_LAST, _BUT_FIRST = slice(None, -1), slice(1, None)


class Engine(Writer):
    """A loaded model. The same call gives the same bits for any number of threads and any way of cutting the tokens.

    One engine may be called from several threads; scores that share a cached context are made one after another.
    """

    name = "engine"

    def __init__(self, model: Any, config: ModelConfig, path: Path | None, threads: int, head: str = "fp32"):
        self.model = model
        self.config = config
        self.path = path
        """The model folder, or the GGUF file; None for a model made in memory."""
        self.threads = threads
        self.head = head
        """How the output head is kept: fp32, bf16 or int8."""
        self._scored: tuple[np.ndarray, Any] | None = None  # context of the last score() and its cache
        self._scoring = Lock()  # whoever uses that cache

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None, head: str = "auto") -> "Engine":
        """Open a run folder, a transformers model folder (latents, or packed in either scale convention), or a GGUF file.

        threads: None takes the physical cores this process may use. head: fp32; bf16 (half the memory traffic, logits
        rounded); int8 (a quarter, one scale a row); auto: bf16 where nothing is lost by it, else fp32.

        Raises:
            UserError: not a b1.58 model, or a broken file.
        """
        if head not in HEADS:
            raise UsageError(
                f"head 는 {', '.join(HEADS)} 중 하나 (head must be one of these): {head}",
                help="--head auto",
            )
        path = Path(path)
        source: Source
        if path.is_file():
            from kobitnet.engine.gguf_source import GgufSource

            source = GgufSource(path)
        else:
            from kobitnet.engine.hf_source import HfSource

            path = model_folder(path)
            source = HfSource(path)
        native = cpu.native()
        if native is None:
            cpu.warn_slow()
        count = cpu.set_threads(threads)
        try:
            model, form = load_model(source, native, head)
        finally:
            source.close()
        return cls(model, source.config, path, count, form)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer beside the weights, or inside the GGUF file (kotok)."""
        if self.path is None:
            raise UserError("토크나이저가 없습니다 (this engine has no model folder, so no tokenizer)")
        if self.path.is_file():
            from kobitnet.engine.gguf import Gguf
            from kobitnet.engine.gguf_tokenizer import read_tokenizer

            return read_tokenizer(Gguf(self.path))
        from kotok.tokenizer import load

        return load(self.path)

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
        tokens = self._check(ids)
        cache = self.model.cache(len(tokens))
        out = np.empty((len(tokens), self.config.vocab), np.float32)
        for begin in range(0, len(tokens), CHUNK):
            out[begin : begin + CHUNK] = self._forward(cache, tokens[begin : begin + CHUNK], "all")
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
        n = len(check_context(context))
        tokens = self._check([*context, *continuation])
        with self._scoring:
            cache = self._context(tokens[: n - 1])
            result = self._logprobs(cache, tokens[n - 1 : -1], tokens[n:])
            cache.truncate(n - 1)
        return result

    def _context(self, head: np.ndarray) -> Any:
        """The cache that holds exactly `head`, made from the one of the previous call as far as both agree."""
        known, cache = self._scored or (head[:0], self.model.cache())
        same = _common(known, head)
        cache.truncate(same)
        self._scored = None  # not valid while it changes
        self._prefill(cache, head[same:])
        self._scored = head, cache
        return cache

    def loglikelihoods(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
        """log p(continuation | context) in nats for each continuation: the sum over its tokens, 0.0 for an empty one.

        The context (and what it shares with the context of the previous call) is computed once, the continuations together:
        the same bits as score() of each. Raises UserError for an empty context, ids out of range, or more tokens than the
        model reads.
        """
        known = check_context(context)
        rows = [self._check([*known, *one])[len(known) - 1 :] for one in continuations]
        head = self._check(known)[:-1]
        out, group = [0.0] * len(rows), list[int]()
        with self._scoring:
            cache = self._context(head)
            for number in sorted(range(len(rows)), key=lambda i: len(rows[i])):
                if len(rows[number]) < 2:
                    continue
                if group and sum(len(rows[i]) - 1 for i in group) + len(rows[number]) > CHUNK:
                    self._score_group(cache, rows, group, out)
                    group = []
                group.append(number)
            if group:
                self._score_group(cache, rows, group, out)
        return out

    def _score_group(self, cache: Any, rows: list[np.ndarray], group: list[int], out: list[float]) -> None:
        """out[i] = log p of rows[i][1:], whose first id is the last of the context, all rows of the group in one call."""
        counts = [len(rows[i]) - 1 for i in group]
        if max(counts) > CHUNK:  # alone, in pieces
            [number] = group
            logp = self._logprobs(cache.fork(cache.length), rows[number][:-1], rows[number][1:])
        else:
            caches = [cache.fork(cache.length) for _ in group]
            ids, targets = (
                np.concatenate([rows[i][part] for i in group]) for part in (_BUT_LAST, _BUT_FIRST)
            )
            logp = self.model.logprobs(caches, counts, ids, targets)
        at = 0
        for number, count in zip(group, counts, strict=True):
            out[number] = float(logp[at : at + count].sum(dtype=np.float64))
            at += count

    # ---- generation -----------------------------------------------------------------------------

    def generate_batch(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int] = (),
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        repetition_penalty: float = 1.0,
    ) -> list[list[int]]:
        """generate() of several prompts, decoded together: weights are read once for all of them.

        Prompt i draws with seeds[i] (0 without seeds), and its text is what generate() with that seed gives, whatever the others are.
        """
        checked = [self._check(ids) for ids in prompts]
        rooms = [min(max_new_tokens, room(len(tokens), self.positions)) for tokens in checked]
        caches = [self.model.cache(len(t) + max(n, 0)) for t, n in zip(checked, rooms, strict=True)]
        for cache, tokens in zip(caches, checked, strict=True):
            self._prefill(cache, tokens[:-1])
        generators = [np.random.default_rng(one) for one in seeds or [0] * len(checked)]
        new: list[list[int]] = [[] for _ in checked]
        stop, last = set(stop_ids), [int(tokens[-1]) for tokens in checked]
        active = [i for i in range(len(checked)) if rooms[i] > 0]
        while active:
            rows = self.model.forward(
                [caches[i] for i in active], [1] * len(active), as_ids([last[i] for i in active]), "last"
            )
            going = []
            for i, row in zip(active, rows, strict=True):
                scores = penalise(row, [*checked[i], *new[i]], repetition_penalty)
                last[i] = pick(
                    scores, temperature=temperature, top_k=top_k, top_p=top_p, generator=generators[i]
                )
                if last[i] in stop:
                    continue
                new[i].append(last[i])
                if len(new[i]) < rooms[i]:
                    going.append(i)
            active = going
        return new

    def _reader(self, length: int) -> Callable[[np.ndarray], np.ndarray]:
        cache = self.model.cache(length)

        def read(ids: np.ndarray) -> np.ndarray:
            tokens = as_ids(ids)
            self._prefill(cache, tokens[:-1])
            return self._forward(cache, tokens[-1:], "last")[0]

        return read

    # ---- inside ---------------------------------------------------------------------------------

    def _check(self, ids: Sequence[int]) -> np.ndarray:
        return as_ids(check_ids(ids, self.config.vocab, self.config.max_len))

    def _forward(self, cache: Any, tokens: np.ndarray, want: str) -> np.ndarray:
        return self.model.forward([cache], [len(tokens)], tokens, want)

    def _prefill(self, cache: Any, tokens: np.ndarray) -> None:
        for begin in range(0, len(tokens), CHUNK):
            self._forward(cache, tokens[begin : begin + CHUNK], "nothing")

    def _logprobs(self, cache: Any, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
        parts = [
            self.model.logprobs(
                [cache], [len(tokens[b : b + CHUNK])], tokens[b : b + CHUNK], targets[b : b + CHUNK]
            )
            for b in range(0, len(tokens), CHUNK)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _common(a: np.ndarray, b: np.ndarray) -> int:
    """Length of the common prefix."""
    n = min(len(a), len(b))
    different = np.nonzero(a[:n] != b[:n])[0]
    return int(different[0]) if len(different) else n
