"""Our models inside lm-evaluation-harness, on either backend.

    python -m kobitnet.evaluate.lm_eval_model --model kobitnet --model_args path=run,backend=engine --tasks kobest

runs its own command line with the model `kobitnet` known; in Python, importing this module is enough for
`lm_eval.simple_evaluate(model="kobitnet", model_args={"path": "run", "backend": "engine"}, …)`.
Needs `pip install lm-eval`, which is no dependency of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from kobitnet.engine.sampling import finite
from kobitnet.evaluate.backend import Backend, load_backend
from kobitnet.evaluate.task_run import encode_pair
from kodata.run.errors import UserError


@register_model("kobitnet")
class KobitnetLM(LM):
    """A run or model folder as lm-evaluation-harness sees one. path: the folder; backend: torch or engine.

    A context that is too long loses its beginning, as with the harness's own models; where it cuts one token later,
    since the last token needs no position, we follow the model's announced length.
    """

    def __init__(self, path: str, backend: str = "engine", **ignored: Any) -> None:
        super().__init__()
        if backend not in ("torch", "engine"):
            raise UserError(f"backend 는 torch, engine 중 하나 (torch or engine): {backend}")
        self.backend: Backend = load_backend(path, backend)
        self.encoder = self.backend.tokenizer

    @property
    def tokenizer_name(self) -> str:
        return str(self.encoder.fingerprint)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        pairs = [encode_pair(self.encoder, *request.args) for request in requests]
        out: list[tuple[float, bool]] = []
        for head, group in groupby(pairs, key=lambda pair: pair[0]):
            tails = [tail for _, tail in group]
            room = self.backend.positions
            if max(len(tail) for tail in tails) >= room:
                raise UserError(
                    f"보기가 모델보다 깁니다 (a continuation is longer than the model reads {room})"
                )
            if len(head) + max(len(tail) for tail in tails) <= room:
                scores = self.backend.loglikelihoods(head, tails)
            else:
                scores = [self.backend.loglikelihoods(head[-(room - len(t)) :], [t])[0] for t in tails]
            likeliest = self._likeliest(head, tails)
            out += [(finite(s), likeliest[: len(t)] == t) for s, t in zip(scores, tails, strict=True)]
        return out

    def _likeliest(self, head: Sequence[int], tails: Sequence[Sequence[int]]) -> list[int]:
        """The greedy continuation for as long as one of the tails goes the same way."""
        said: list[int] = []
        longest = max((len(tail) for tail in tails), default=0)
        if not longest:
            return said
        for token in self.backend.stream(head[-(self.backend.positions - longest) :], longest, stop_ids=[]):
            said.append(token)
            if not any(list(tail[: len(said)]) == said and len(tail) > len(said) for tail in tails):
                break
        return said

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        out = []
        for request in requests:
            ids = list(self.encoder.encode(request.args[0]))
            windows = get_rolling_token_windows(
                token_list=ids,
                prefix_token=self.encoder.eot_id,
                max_seq_len=self.backend.positions - 1,
                context_len=1,
            )
            out.append(
                sum(
                    finite(self.backend.loglikelihoods(head, [tail])[0])
                    for head, tail in map(make_disjoint_window, windows)
                )
            )
        return out

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        out = []
        for request in requests:
            context, settings = request.args
            until = settings.get("until") or []
            until = [until] if isinstance(until, str) else list(until)
            most = min(int(settings.get("max_gen_toks", 256)), self.backend.positions // 2)
            ids = list(self.encoder.encode(context)) or [self.encoder.eot_id]
            new: list[int] = []
            text = ""
            stops = [self.encoder.eot_id, self.encoder.end_of_turn_id]
            temperature = float(settings.get("temperature") or 0.0) if settings.get("do_sample") else 0.0
            for token in self.backend.stream(
                ids[-(self.backend.positions - most) :], most, stop_ids=stops, temperature=temperature
            ):
                new.append(token)
                text = self.encoder.decode(new, skip_special=True)
                if any(mark in text for mark in until):
                    break
            for mark in until:
                text = text.split(mark)[0]
            out.append(text)
        return out


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
