"""The OpenAI protocol without HTTP: requests checked field by field, answers and errors as JSON objects."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kodata.run.errors import did_you_mean

MAX_STOPS = 4
MAX_STOP_CHARS = 256
MAX_MESSAGES = 1024

COMMON = {
    "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k",
    "repetition_penalty", "seed", "stop",
}  # fmt: skip
# Fields that change nothing here: accepted as they are.
HARMLESS = {
    "user",
    "store",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
}
# Fields of the API that this server does not have, with the values that ask for nothing.
NOTHING: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
    "reasoning_effort": (None, "none"),
    "verbosity": (None,),
}
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class ApiError(Exception):
    """A refusal as OpenAI's clients understand it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.kind, self.param, self.code = status, kind, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request that passed every check."""

    chat: bool
    model: str | None
    messages: list[dict[str, str]] = field(default_factory=list)
    """Of a chat."""
    prompt: str | list[int] = ""
    """Of a completion: text, or token ids."""
    stream: bool = False
    include_usage: bool = False
    usage_always: bool = False
    """Usage in every chunk (vLLM's `continuous_usage_stats`)."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None


def parse(body: Any, *, chat: bool) -> Asked:
    """The request of /v1/chat/completions or /v1/completions. Raises ApiError (400) that names the field."""
    if not isinstance(body, dict):
        raise ApiError(400, "요청은 JSON 객체입니다 (the request must be a JSON object)")
    own = "messages" if chat else "prompt"
    known = {own, *COMMON, *HARMLESS, *NOTHING}
    for name, value in body.items():
        if name not in known:
            near = did_you_mean(name[:64], sorted(known))
            raise ApiError(
                400,
                f"모르는 필드 (unknown field): {name[:64]!r} {near}".rstrip(),
                param=name[:64],
                code="unknown_parameter",
            )
        if name in NOTHING and not any(_same(value, nothing) for nothing in NOTHING[name]):
            raise ApiError(
                400,
                f"이 서버가 하지 않는 것입니다 (not supported here): {name}",
                param=name,
                code="unsupported_parameter",
            )
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _bad("stream_options", "JSON 객체여야 합니다 (must be an object)")
    limits = [n for n in ("max_completion_tokens", "max_tokens") if body.get(n) is not None]
    return Asked(
        chat=chat,
        model=_text(body, "model"),
        messages=_messages(body.get("messages")) if chat else [],
        prompt="" if chat else _prompt(body.get("prompt")),
        stream=_flag(body, "stream"),
        include_usage=_flag(options or {}, "include_usage"),
        usage_always=_flag(options or {}, "continuous_usage_stats"),
        max_tokens=_whole(body, limits[0], 1, 2**31) if limits else None if chat else 16,
        stop=_stops(body.get("stop")),
        temperature=_number(body, "temperature", 1.0, 0, 100),
        top_p=_number(body, "top_p", 1.0, 0, 1, above=True),
        top_k=max(0, _whole(body, "top_k", -1, 2**31) or 0),  # -1 is what other servers call "all"
        repetition_penalty=_number(body, "repetition_penalty", 1.0, 0.01, 100),
        seed=_whole(body, "seed", -(2**63), 2**64 - 1),
    )


def _same(value: Any, nothing: Any) -> bool:
    """Equal, but false is not 0: `"logprobs": 0` asks for something."""
    return value == nothing and isinstance(value, bool) == isinstance(nothing, bool)


def _bad(param: str, message: str) -> ApiError:
    return ApiError(400, f"{param}: {message}", param=param, code="invalid_value")


def _messages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise _bad("messages", "메시지의 목록입니다, 하나 이상 (a list of one message or more)")
    if len(value) > MAX_MESSAGES:
        raise _bad("messages", f"{MAX_MESSAGES}개를 넘습니다 (too many messages): {len(value)}")
    out = []
    for i, message in enumerate(value):
        where = f"messages[{i}]"
        if not isinstance(message, dict):
            raise _bad(where, "JSON 객체여야 합니다 (must be an object)")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise _bad(f"{where}.role", f"쓸 수 있는 역할은 {', '.join(ROLES)} (roles): {str(role)[:64]!r}")
        for name, extra in message.items():
            if name not in ("role", "content", "name") and extra not in (None, [], ""):
                raise _bad(f"{where}.{name[:64]}", "이 서버가 하지 않는 것입니다 (not supported here)")
        out.append({"role": ROLES[role], "content": _content(message.get("content"), f"{where}.content")})
    if out[-1]["role"] == "assistant":
        raise _bad("messages", "마지막은 user 메시지입니다 (the last message must not be the assistant's)")
    return out


def _content(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        for i, part in enumerate(value):
            if (
                not isinstance(part, dict)
                or part.get("type") != "text"
                or not isinstance(part.get("text"), str)
            ):
                raise _bad(f"{where}[{i}]", '글만 받습니다 (text parts only): {"type": "text", "text": "…"}')
        return "".join(part["text"] for part in value)
    raise _bad(where, "글이어야 합니다 (must be a string)")


def _prompt(value: Any) -> str | list[int]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(type(i) is int for i in value):
        return value
    raise _bad("prompt", "글 하나나 토큰 번호의 목록입니다 (one string, or a list of token ids)")


def _stops(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(s, str) for s in stops):
        raise _bad("stop", "글이나 글의 목록입니다 (a string or a list of strings)")
    if len(stops) > MAX_STOPS or any(not 0 < len(s) <= MAX_STOP_CHARS for s in stops):
        raise _bad(
            "stop",
            f"비지 않은 {MAX_STOP_CHARS}자 이하의 글 {MAX_STOPS}개까지 (up to {MAX_STOPS} strings, not empty)",
        )
    return tuple(stops)


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _bad(name, "글이어야 합니다 (must be a string)")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _bad(name, "true 나 false 여야 합니다 (must be a boolean)")
    return bool(value)


def _whole(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise _bad(name, f"{least} 이상의 정수여야 합니다 (must be an integer of at least {least})")
    return value


def _number(
    body: Mapping[str, Any], name: str, default: float, least: float, most: float, *, above: bool = False
) -> float:
    value = body.get(name)
    if value is None:
        return default
    fits = type(value) in (int, float) and math.isfinite(value) and least <= value <= most
    if not fits or (above and value == least):
        raise _bad(
            name,
            f"{least}{'보다 크고' if above else ' 이상'} {most} 이하의 수여야 합니다 (must be a number in {'(' if above else '['}{least}, {most}])",
        )
    return float(value)


# ---- answers ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """Makes the JSON objects of one answer."""

    id: str
    created: int
    model: str
    chat: bool
    fingerprint: str
    prompt_tokens: int

    def usage(self, tokens: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self.prompt_tokens + tokens,
        }

    def whole(self, text: str, finish: str, tokens: int) -> dict[str, Any]:
        """The answer at once."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        return {**self._head(part=False), "choices": [choice], "usage": self.usage(tokens)}

    def first(self) -> dict[str, Any]:
        """The chunk before the text of a chat: whose message it is."""
        return self._chunk({"role": "assistant", "content": ""}, None)

    def piece(self, text: str, tokens: int | None = None) -> dict[str, Any]:
        """A chunk of text, with the usage so far when `tokens` is given."""
        chunk = self._chunk({"content": text} if self.chat else text, None)
        return chunk if tokens is None else {**chunk, "usage": self.usage(tokens)}

    def end(self, finish: str) -> dict[str, Any]:
        """The last chunk."""
        return self._chunk({} if self.chat else "", finish)

    def counts(self, tokens: int) -> dict[str, Any]:
        """The chunk with the usage, after the last."""
        return {**self._head(part=True), "choices": [], "usage": self.usage(tokens)}

    def _chunk(self, delta: Any, finish: str | None) -> dict[str, Any]:
        choice = {
            "index": 0,
            "delta" if self.chat else "text": delta,
            "finish_reason": finish,
            "logprobs": None,
        }
        return {**self._head(part=True), "choices": [choice]}

    def _head(self, *, part: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if part else "chat.completion") if self.chat else "text_completion"
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }
