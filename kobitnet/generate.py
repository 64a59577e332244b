"""kobitnet generate: text from a model, for one prompt or a whole JSONL of them."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kobitnet.finite import check_finite
from kodata.run.errors import UsageError, UserError
from kodata.run.flags import Flat, Fresh, Limit, Parameter, Seed
from kodata.run.result import Result

if TYPE_CHECKING:
    from kobitnet.evaluate.backend import Backend
    from kotok.tokenizer import Tokenizer

BATCH = 8  # conversations of a file the engine answers together


@dataclass(kw_only=True, slots=True)
class GenerateConfig:
    """How to continue."""

    max_new_tokens: int = 128
    """새 토큰의 최대 수 (most new tokens)"""
    greedy: bool = False
    """늘 가장 그럴듯한 토큰 (always the likeliest token)"""
    temperature: float = 0.8
    """무작위 정도 (temperature)"""
    top_k: int = 40
    """후보 수, 0 = 전부 (candidates, 0 = all)"""
    top_p: float = 0.95
    """후보의 누적 확률 (cumulative probability of the candidates)"""
    backend: Literal["auto", "torch", "engine"] = "auto"
    """계산기: engine = CPU 3진 엔진, auto = b1.58이면 engine (backend; auto = the engine for b1.58)"""
    head: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """엔진 출력층의 정밀도, auto = 잃는 것 없이 (precision of the engine's output head, auto = lossless)"""
    repetition_penalty: float = 1.0
    """나온 토큰을 덜 고름, 1 = 그대로 (tokens already there become less likely, 1 = no change)"""
    raw: bool = False
    """대화 틀 없이 그대로 잇기 (continue the text as it is, no chat template)"""
    system: str = ""
    """시스템 말 (system message)"""
    too_long: Literal["error", "drop"] = "error"
    """--prompts 에서 모델보다 긴 대화: 멈춤 또는 뺌 (chats of --prompts longer than the model reads: stop or leave out)"""

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
        str | None, Parameter(help="글, 없으면 표준 입력 (prompt, else standard input)")
    ] = None,
    /,
    *,
    prompts: Annotated[
        Path | None, Parameter(help="대화·쌍 JSONL: 마지막 답을 새로 만듦 (chat or pair JSONL: answers anew)")
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="--prompts 의 결과 JSONL (answers JSONL)")
    ] = None,
    config: Annotated[GenerateConfig | None, Flat] = None,
    limit: Limit = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> Result:
    """글을 잇거나 대화에 답합니다 (continue a text or answer a chat)

    After SFT or DPO the prompt goes through the chat template; --raw continues it as plain text. With --prompts and -o
    every conversation of the file is answered, in order; the same command again goes on where it stopped.
    """
    config = config or GenerateConfig()
    if prompts is not None:
        if output is None:
            raise UsageError("--prompts 에는 -o 가 필요합니다 (--prompts needs -o)", help="-o answers.jsonl")
        return _answer_file(model, prompts, output, config, limit, seed, fresh)
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
    """`--backend`, with auto decided: torch for what only torch computes (other quantisers, full precision)."""
    if config.backend != "auto":
        return config.backend
    facts = _facts(path)
    return "engine" if facts is None or facts.get("model_type") == "bitnet" else "torch"


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


# ---- a file of prompts --------------------------------------------------------------------------


def _conversations(path: Path, pairs: bool) -> Iterator[tuple[str, list[Any]]]:
    """(id, messages up to the last answer) of a chat or pair JSONL; chats that do not end in an answer are taken whole."""
    from kodata.chat import read_chats, read_pairs

    if pairs:
        for pair in read_pairs(path):
            yield pair.id, list(pair.prompt)
        return
    for chat in read_chats(path, answers=False):
        messages = list(chat.messages)
        if messages and messages[-1].role == "assistant":
            messages.pop()
        yield chat.id, messages


def _is_pairs(path: Path) -> bool:
    if not path.is_file():
        raise UserError(
            f"파일이 없습니다 (no such file): {path}", help="kodata sft 의 결과를 주세요 (give a chat JSONL)"
        )
    try:
        with open(path, encoding="utf-8") as handle:
            first = json.loads(handle.readline(1 << 24) or "{}")
    except (ValueError, UnicodeDecodeError):  # the reader below says it with file and line
        return False
    return isinstance(first, dict) and "chosen" in first


def _answer_file(
    model: Path,
    prompts: Path,
    output: Path,
    config: GenerateConfig,
    limit: int | None,
    seed: int,
    fresh: bool,
) -> Result:
    """Answer every conversation; finished answers stay in <output>.run/answers.jsonl until all are there."""
    from kobitnet.engine.config import model_folder, weights_fingerprint
    from kodata.run.files import atomic_open
    from kodata.run.folder import open_run
    from kodata.run.progress import progress

    source = model if Path(model).is_file() else model_folder(model)
    pairs = _is_pairs(prompts)  # before the folder is made: a missing file leaves nothing behind
    name = backend_name(model, config)
    with open_run(
        output,
        tool="kobitnet",
        verb="generate",
        config={**asdict(config), "backend": name, "limit": limit},
        inputs=[source, prompts],
        seed=seed,
        fresh=fresh,
        kind="file",
    ) as run:
        if run.done:
            return run.result()
        conversations = list(_conversations(prompts, pairs))[:limit]
        if not conversations:
            raise UserError(f"대화가 없습니다 (no conversations): {prompts}")
        part = run.path / "answers.jsonl"
        done = _whole_lines(part)
        backend, _ = open_backend(model, config)
        tokenizer = backend.tokenizer
        asked = _prompts(backend, conversations, prompts, config)
        dropped = len(conversations) - len(asked)
        weights = weights_fingerprint(source)
        settings = {
            **config.sampling(),
            "max_new_tokens": config.max_new_tokens,
            "backend": name,
            "seed": seed,
        }
        written = 0
        with (
            open(part, "ab") as handle,
            progress("답 만들기 (answering)", total=len(asked), unit="대화", done=len(done)) as bar,
        ):
            for (_, identity, messages, _), new in _answers(backend, asked[len(done) :], config, seed):
                row = {
                    "id": identity,
                    "prompt": [{"role": m.role, "content": m.content} for m in messages],
                    "response": tokenizer.decode(new, skip_special=True).strip(),
                    "model": weights,
                    "settings": settings,
                }
                handle.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
                handle.flush()
                written += len(new)
                bar.advance(1, tokens=written)
        rows = _whole_lines(part)
        with atomic_open(output, "wb") as handle:
            handle.writelines(rows)
        part.unlink()
        first = json.loads(rows[0])
        from kodata.report import blocks

        samples = blocks.samples(
            "답의 예 (sample answers)",
            [
                {
                    "label": r["prompt"][-1]["content"][:200] if r["prompt"] else "",
                    "text": r["response"] or "(빈 답, empty)",
                }
                for r in map(json.loads, rows[:8])
            ],
        )
        return run.finish(
            summary={
                "answers": len(rows),
                "empty": sum(not json.loads(r)["response"] for r in rows),
                "dropped": dropped,
                "model": weights,
            },
            report=[
                blocks.facts(
                    "한눈에 (at a glance)", {"답 (answers)": len(rows), "모델 (model)": weights, **settings}
                ),
                samples,
            ],
            lines=[
                f"답 (answers): {len(rows):,}"
                + (f", 길어서 뺌 (too long, left out): {dropped:,}" if dropped else ""),
                f"예 (example): {first['response'][:80]}",
            ],
        )


def _prompts(
    backend: "Backend", conversations: list[tuple[str, list[Any]]], path: Path, config: GenerateConfig
) -> "list[Asked]":
    """(number in the file, id, messages, ids) of every conversation that leaves room for an answer, looked at before the
    first is answered.

    Raises:
        UserError: one is too long and `too_long` is "error", or all of them are.
    """
    from kodata.chat import Message
    from kotok.chat import prompt_ids, template_of

    template = template_of(backend.tokenizer)
    out, long = [], []
    for number, (identity, messages) in enumerate(conversations):
        if config.system and (not messages or messages[0].role != "system"):
            messages = [Message(role="system", content=config.system), *messages]
        ids = list(prompt_ids(backend.tokenizer, messages, template))
        if len(ids) < backend.positions:
            out.append((number, identity, messages, ids))
        else:
            long.append((number, identity, len(ids)))
    if long and (config.too_long == "error" or not out):
        number, identity, size = long[0]
        raise UserError(
            f"대화 {len(long)}/{len(conversations)}개가 모델이 읽는 {backend.positions} 토큰보다 깁니다 "
            f"(too long for the model, e.g. conversation {number + 1}, id {identity!r}: {size} tokens)",
            help="그 대화를 줄이거나 --too-long drop 으로 빼세요 (shorten it, or --too-long drop)",
            file=path,
        )
    return out


Asked = tuple[int, str, list[Any], list[int]]


def _answers(
    backend: "Backend", asked: list[Asked], config: GenerateConfig, seed: int
) -> Iterator[tuple[Asked, list[int]]]:
    """Each conversation with the ids of its answer, in order; the engine decodes BATCH of them together (the same texts)."""
    from kobitnet.engine import Engine

    stop, settings = stop_ids(backend.tokenizer), config.sampling()
    if not isinstance(backend, Engine):
        for one in asked:
            number, _, _, ids = one
            yield (
                one,
                backend.generate(ids, config.max_new_tokens, stop_ids=stop, seed=seed + number, **settings),
            )
        return
    for first in range(0, len(asked), BATCH):
        group = asked[first : first + BATCH]
        seeds = [seed + number for number, _, _, _ in group]
        prompts = [ids for _, _, _, ids in group]
        answers = backend.generate_batch(
            prompts, config.max_new_tokens, stop_ids=stop, seeds=seeds, **settings
        )
        yield from zip(group, answers, strict=True)


def _whole_lines(path: Path) -> list[bytes]:
    """The complete lines of a file that may end in half a one; that half is cut off the file."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        with open(path, "r+b") as handle:
            handle.truncate(len(whole))
    return whole.splitlines(keepends=True)
