"""The routes: models, completions, chat completions, health and the page."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kobitnet.serve.guard import Receive, Scope, Send, error_response, server_error
from kobitnet.serve.page import page
from kobitnet.serve.protocol import ApiError, Asked, Reply, parse
from kobitnet.serve.runner import Busy, Event, Job, Runner, Work
from kodata.run.errors import UserError

MAX_BODY = 1 << 20
"""Bytes of a request."""
READ_AWAY = 8 << 20
"""Bytes of a body too large that are read and thrown away, so that its sender hears the answer."""
BODY_SECONDS = 30.0
"""A body must be here by then."""
TOKEN_BYTES = 64
"""No prompt of more bytes than this for each token of the context is looked at closer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What the routes need to know about the model."""

    name: str
    fingerprint: str
    created: int
    chat: bool
    """Trained on conversations."""
    template: Any
    context: int
    """Most tokens of prompt and answer together."""
    max_tokens: int
    """Most new tokens of one answer."""
    seconds: float
    """Most time of one answer, waiting included."""


def make_app(runner: Runner, served: Served) -> Starlette:
    """The application; `kobitnet.serve.guard.Guard` belongs around it."""
    routes = _Routes(runner, served)
    return Starlette(
        routes=[
            Route("/", routes.page),
            Route("/health", routes.health),
            Route("/v1/models", routes.models),
            Route("/v1/models/{name:path}", routes.model),
            Route("/v1/completions", routes.completions, methods=["POST"]),
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: _http_error,
            ApiError: _api_error,
            ClientDisconnect: _gone,
            Exception: _bug,  # starlette raises it again for the guard, which prints it
        },
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = {404: "없는 주소입니다 (no such path)", 405: "이 주소에 없는 방법입니다 (method not allowed)"}
    where = f"{request.method[:16]} {request.url.path[:100]}"
    message = f"{what.get(error.status_code, str(error.detail))}: {where}"
    return error_response(ApiError(error.status_code, message, headers=error.headers))


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error)


async def _bug(request: Request, error: Exception) -> Response:
    return error_response(server_error())


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody hears it


class _Routes:
    def __init__(self, runner: Runner, served: Served):
        self.runner = runner
        self.served = served
        self._page, self._policy = page()

    # ---- small answers ------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        return Response(
            self._page,
            media_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": self._policy, "X-Frame-Options": "DENY"},
        )

    async def health(self, request: Request) -> Response:
        running, waiting = self.runner.load
        return JSONResponse({"status": "ok", "running": running, "waiting": waiting})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        self._same_model(request.path_params["name"])
        return JSONResponse(self._model())

    def _model(self) -> dict[str, Any]:
        served = self.served
        return {
            "id": served.name,
            "object": "model",
            "created": served.created,
            "owned_by": "kobitnet",
            "kobitnet": {
                "chat": served.chat,
                "context": served.context,
                "max_tokens": served.max_tokens,
                "fingerprint": served.fingerprint,
            },
        }

    def _same_model(self, name: str | None) -> None:
        if name is not None and name != self.served.name:
            raise ApiError(
                404,
                f"없는 모델입니다 (no such model): {name[:100]!r}, 있는 것 (served): {self.served.name!r}",
                param="model",
                code="model_not_found",
            )

    # ---- generation ---------------------------------------------------------------------------------

    async def completions(self, request: Request) -> Response:
        return await self._generate(request, chat=False)

    async def chat(self, request: Request) -> Response:
        return await self._generate(request, chat=True)

    async def _generate(self, request: Request, *, chat: bool) -> Response:
        asked = parse(await _json(request), chat=chat)
        self._same_model(asked.model)
        if chat and not self.served.chat:
            raise ApiError(
                400,
                "대화로 학습한 모델이 아닙니다: /v1/completions 를 쓰십시오 (not a chat model, use /v1/completions)",
                code="not_a_chat_model",
            )
        ids = await asyncio.to_thread(self._prompt_ids, asked)
        room = self.served.context - len(ids)
        if room < 1:
            raise self._too_long(f"{len(ids)} 토큰 (tokens)", asked)
        reply = Reply(
            id=("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12),
            created=int(time.time()),
            model=self.served.name,
            chat=chat,
            fingerprint=self.served.fingerprint,
            prompt_tokens=len(ids),
        )
        try:
            job = self.runner.submit(self._work(asked, ids, room), self.served.seconds)
        except Busy as busy:
            raise ApiError(
                429,
                f"기다리는 요청이 너무 많습니다 (too many requests waiting), {busy.retry_after}초 뒤에 다시 (retry)",
                kind="rate_limit_error",
                code="queue_full",
                headers={"Retry-After": str(busy.retry_after)},
            ) from None
        return _Answer(self.runner, job, reply, asked)

    def _work(self, asked: Asked, ids: list[int], room: int) -> Work:
        most = min(asked.max_tokens or self.served.max_tokens, self.served.max_tokens, room)
        seed = secrets.randbits(63) if asked.seed is None else asked.seed % 2**64
        sampling: dict[str, Any] = {
            "temperature": asked.temperature,
            "top_k": asked.top_k,
            "top_p": asked.top_p,
            "seed": seed,
        }
        if asked.repetition_penalty != 1.0:
            sampling["repetition_penalty"] = asked.repetition_penalty
        return Work(ids=ids, max_new_tokens=most, sampling=sampling, stop=asked.stop, strip=asked.chat)

    def _prompt_ids(self, asked: Asked) -> list[int]:
        tokenizer, limit = self.runner.backend.tokenizer, self.served.context * TOKEN_BYTES
        texts = [m["content"] for m in asked.messages] if asked.chat else [asked.prompt]
        size = sum(len(text.encode()) for text in texts if isinstance(text, str))
        if size > limit:
            raise self._too_long(f"{size} 바이트 (bytes)", asked)
        if asked.chat:
            from kotok.chat import prompt_ids

            return prompt_ids(tokenizer, asked.messages, self.served.template)
        if isinstance(asked.prompt, str):
            return tokenizer.encode(asked.prompt) or [tokenizer.eot_id]
        if not all(0 <= i < tokenizer.vocab_size for i in asked.prompt):
            raise ApiError(
                400, f"토큰 번호는 0에서 {tokenizer.vocab_size - 1} (token ids out of range)", param="prompt"
            )
        return asked.prompt

    def _too_long(self, size: str, asked: Asked) -> ApiError:
        return ApiError(
            400,
            f"입력이 너무 깁니다 (prompt too long): {size}, 문맥은 {self.served.context} 토큰 (context)",
            param="messages" if asked.chat else "prompt",
            code="context_length_exceeded",
        )


async def _json(request: Request) -> Any:
    """The body as JSON, at most MAX_BODY bytes in BODY_SECONDS."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if (
        kind != "application/json"
    ):  # what a form or a script of another site can send without being asked first
        raise ApiError(415, f"Content-Type 은 application/json 입니다 (must be): {kind[:60]!r}")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > READ_AWAY:
        raise _too_large()
    data, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= MAX_BODY:
                    data += part
                elif size > READ_AWAY:
                    break
    except TimeoutError:
        raise ApiError(
            408,
            "요청이 다 오지 않았습니다 (the request did not arrive in time)",
            headers={"Connection": "close"},
        ) from None
    if size > MAX_BODY:
        raise _too_large()
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"JSON이 깨졌습니다 (broken JSON): {error}"[:300], code="invalid_json") from None


def _too_large() -> ApiError:
    return ApiError(
        413,
        f"요청이 너무 큽니다 (request over {MAX_BODY} bytes)",
        code="request_too_large",
        headers={"Connection": "close"},
    )


class _Answer(Response):
    """The answer of a job, whole or as server-sent events. A client that goes away stops the generation."""

    def __init__(self, runner: Runner, job: Job, reply: Reply, asked: Asked):
        self.runner, self.job, self.reply, self.asked = runner, job, reply, asked
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        watch = asyncio.create_task(self._watch(receive))
        try:
            if self.asked.stream:
                await self._stream(send)
            else:
                await (await self._whole())(scope, receive, send)
        finally:
            self.runner.cancel(self.job)
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.runner.cancel(self.job)

    async def _events(self) -> AsyncIterator[Event]:
        """The events, those that came meanwhile as one: a slow reader gets fewer and larger pieces."""
        queue = self.job.events
        while True:
            event = await queue.get()
            text = event.text
            while not event.last and not queue.empty():
                event = queue.get_nowait()
                text += event.text
            if text and event.last:
                yield Event(text=text, tokens=event.tokens)
                text = ""
            yield replace(event, text=text)
            if event.last:
                return
            await asyncio.sleep(0)  # a burst must not keep the loop from hearing that the client is gone

    async def _whole(self) -> Response:
        parts: list[str] = []
        event = Event()
        async for event in self._events():
            parts.append(event.text)
        problem = _problem(event)
        if problem:
            return error_response(problem)
        return Response(
            orjson.dumps(self.reply.whole("".join(parts), event.finish, event.tokens)),
            media_type="application/json",
        )

    async def _stream(self, send: Send) -> None:
        say = _sayer(send)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"text/event-stream; charset=utf-8"),
                    (b"x-accel-buffering", b"no"),
                ],
            }
        )
        if self.reply.chat:
            await say(self.reply.first())
        async for event in self._events():
            if event.text:
                await say(self.reply.piece(event.text, event.tokens if self.asked.usage_always else None))
        problem = _problem(event)
        if problem:
            await say(problem.body())
        else:
            await say(self.reply.end(event.finish))
            if self.asked.include_usage:
                await say(self.reply.counts(event.tokens))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


def _sayer(send: Send) -> Callable[[Any], Awaitable[None]]:
    async def say(value: Any) -> None:
        await send(
            {
                "type": "http.response.body",
                "body": b"data: " + orjson.dumps(value) + b"\n\n",
                "more_body": True,
            }
        )

    return say


def _problem(event: Event) -> ApiError | None:
    """Why an answer did not end well, or None."""
    if isinstance(event.error, UserError):
        return ApiError(400, str(event.error))
    if event.error is not None:
        import sys
        import traceback

        traceback.print_exception(event.error, file=sys.stderr)
        return server_error()
    if event.finish == "timeout":
        return ApiError(
            504, "시간이 다 되었습니다 (the answer took too long)", kind="server_error", code="timeout"
        )
    if event.finish == "cancelled":
        return ApiError(
            503, "서버가 멈추는 중입니다 (the server is stopping)", kind="server_error", code="stopping"
        )
    return None
