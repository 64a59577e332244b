"""From a prompt to an answer: which backend computes, which ids go in, how the next token is drawn and where to stop."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kobitnet.engine.config import QUANTISERS
from kobitnet.finite import check_finite
from kodata.run.errors import UsageError

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend
    from kotok.tokenizer import Tokenizer


@dataclass(kw_only=True, slots=True)
class GenerateConfig:
    """How to continue."""

    max_new_tokens: int = 128
    """새로 만들 토큰의 최대 수 (most new tokens)"""
    greedy: bool = False
    """항상 가장 그럴듯한 토큰을 고름 (always the likeliest token)"""
    temperature: float = 0.8
    """온도, 높을수록 다양한 글 (temperature: higher is more varied)"""
    top_k: int = 40
    """후보로 둘 토큰 수, 0 = 전부 (candidates, 0 = all)"""
    top_p: float = 0.95
    """후보의 누적 확률 (cumulative probability of the candidates)"""
    backend: Literal["auto", "torch", "engine"] = "auto"
    """계산 백엔드: engine = CPU 삼진 엔진, auto = 엔진이 계산하는 모델이면 engine (backend; auto = the engine where it can)"""
    head: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """엔진 출력층의 정밀도, auto = 손실 없이 (precision of the engine's output head, auto = lossless)"""
    repetition_penalty: float = 1.0
    """이미 나온 토큰을 덜 고름, 1 = 그대로 (tokens already there become less likely, 1 = no change)"""
    raw: bool = False
    """대화 템플릿 없이 글을 그대로 이어 씀 (continue the text as it is, no chat template)"""
    system: str = ""
    """시스템 메시지 (system message)"""
    too_long: Literal["error", "drop"] = "error"
    """--prompts 에 모델이 읽을 수 없게 긴 대화가 있으면: error = 멈춤, drop = 뺌 (chats longer than the model reads: stop, or leave them out)"""

    def __post_init__(self) -> None:
        check_finite(self)
        if self.max_new_tokens < 1:
            raise UsageError(
                f"--max-new-tokens 는 1 이상입니다 (must be 1 or more): {self.max_new_tokens}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise UsageError(
                f"값이 맞지 않습니다 (bad value): --temperature {self.temperature} --top-k {self.top_k} --top-p {self.top_p}",
                help="temperature >= 0, top-k >= 0, 0 < top-p <= 1",
            )
        if not self.repetition_penalty > 0:
            raise UsageError(
                f"--repetition-penalty 는 0보다 큽니다 (must be above 0): {self.repetition_penalty}",
                help="1.0 은 벌점 없음 (1.0 is no penalty)",
            )

    def sampling(self) -> dict[str, Any]:
        """The arguments of Backend.generate."""
        return {
            "temperature": 0.0 if self.greedy else self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "repetition_penalty": self.repetition_penalty,
        }


def open_backend(path: Path, config: GenerateConfig) -> tuple["Backend", bool]:
    """The backend and whether prompts go through the chat template."""
    from kobitnet.evaluate.backend import load_backend

    backend = load_backend(path, backend_name(path, config), config.head)
    return backend, not config.raw and stage_of(path) in ("sft", "dpo")


def backend_name(path: Path, config: GenerateConfig) -> str:
    """`--backend`, with auto decided: torch for what only torch computes (full precision)."""
    if config.backend != "auto":
        return config.backend
    facts = _facts(path)
    return "engine" if facts is None or str(facts.get("model_type")) in QUANTISERS else "torch"


def _facts(path: Path) -> dict[str, Any] | None:
    """config.json of a run or model folder, None when there is none (a file for the engine)."""
    from kobitnet.chat_template import chat_template
    from kodata.run.files import read_json_object

    for folder in (Path(path) / "model", Path(path)):
        if (folder / "config.json").is_file():
            return {
                **read_json_object(folder / "config.json"),
                "has_template": chat_template(folder) is not None,
            }
    return None


def stage_of(path: Path) -> str:
    """pretrain, sft or dpo as config.json tells; a model of others with a chat template counts as sft."""
    if Path(path).is_file():
        from kobitnet.engine.gguf_tokenizer import chat_stage

        return chat_stage(Path(path))
    facts = _facts(path) or {}
    ours = facts.get("kobitnet")
    ours = ours if isinstance(ours, dict) else {}
    return str(ours.get("stage", "sft" if facts.get("has_template") else "pretrain"))


def stop_ids(tokenizer: "Tokenizer") -> list[int]:
    """End of text and end of turn."""
    return [tokenizer.eot_id, tokenizer.end_of_turn_id]


def prompt_tokens(tokenizer: "Tokenizer", prompt: str, *, chat: bool, system: str = "") -> list[int]:
    """Ids to continue: the generation prompt of a one-turn chat, or the text itself (an empty one starts at end-of-text,
    which is what stands before every document in training)."""
    if chat:
        from kodata.chat import Message
        from kotok.chat import prompt_ids, template_of

        messages = [Message(role="system", content=system)] if system else []
        messages.append(Message(role="user", content=prompt))
        return list(prompt_ids(tokenizer, messages, template_of(tokenizer)))
    return list(tokenizer.encode(prompt)) or [tokenizer.eot_id]


def continuations(
    model: Any,
    tokenizer: "Tokenizer",
    prompts: tuple[str, ...],
    *,
    chat: bool = False,
    max_new_tokens: int = 48,
) -> list[dict[str, str]]:
    """Greedy texts of a model in training, for its report: [{"prompt", "text"}]."""
    from kobitnet.evaluate.backend import TorchBackend

    backend = TorchBackend(model, tokenizer)
    out = []
    for prompt in prompts:
        ids = prompt_tokens(tokenizer, prompt, chat=chat)
        new = backend.generate(ids, max_new_tokens, stop_ids=stop_ids(tokenizer))
        out.append({"prompt": prompt, "text": tokenizer.decode(new, skip_special=True)})
    return out
