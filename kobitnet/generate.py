"""kobitnet generate: text from a model, for one prompt or a whole JSONL of them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kobitnet.engine.config import QUANTISERS
from kobitnet.finite import check_finite
from kodata.run.errors import UsageError
from kodata.run.flags import Flat, Fresh, Limit, Parameter, Seed
from kodata.run.result import Result

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


def generate(
    model: Annotated[Path, Parameter(help="run 폴더, 모델 폴더, GGUF 파일 (run or model folder, GGUF file)")],
    prompt: Annotated[
        str | None, Parameter(help="이어 쓸 글이나 질문, 없으면 표준 입력에서 (prompt, else standard input)")
    ] = None,
    /,
    *,
    prompts: Annotated[
        Path | None,
        Parameter(
            help="대화·선호 쌍 JSONL: 대화마다 마지막 답을 새로 생성 (chat or pair JSONL: answers anew)"
        ),
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="--prompts 의 답을 쓸 JSONL (answers JSONL)")
    ] = None,
    config: Annotated[GenerateConfig | None, Flat] = None,
    limit: Limit = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> Result:
    """글을 이어 쓰거나 대화에 답합니다 (continue a text or answer a chat)

    After SFT or DPO the prompt goes through the chat template; --raw continues it as plain text. With --prompts and -o
    every conversation of the file is answered, in order; the same command again goes on where it stopped.
    """
    config = config or GenerateConfig()
    if prompts is not None:
        if output is None:
            raise UsageError("--prompts 에는 -o 가 필요합니다 (--prompts needs -o)", help="-o answers.jsonl")
        from kobitnet.answer_file import answer_file

        return answer_file(model, prompts, output, config, limit, seed, fresh)
    if prompt is None:
        prompt = sys.stdin.read().rstrip("\n")
    backend, chat = open_backend(model, config)
    ids = prompt_tokens(backend.tokenizer, prompt, chat=chat, system=config.system)
    new = backend.generate(
        ids, config.max_new_tokens, stop_ids=stop_ids(backend.tokenizer), seed=seed, **config.sampling()
    )
    text = backend.tokenizer.decode(new, skip_special=True)
    return Result(
        summary={"prompt": prompt, "text": text, "tokens": len(new)},
        lines=[text.lstrip() if chat else prompt + text],
    )


# ---- one prompt ---------------------------------------------------------------------------------


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
