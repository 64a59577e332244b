"""What stands before every route: who may ask (Host, Origin, key), how long, and what a failure looks like."""

import asyncio
import hashlib
import hmac
import ipaddress
import sys
import traceback
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

import orjson
from starlette.responses import Response

from kobitnet.serve.protocol import ApiError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GRACE = 30.0
"""Seconds beyond the time of an answer in which its reader must have taken it."""
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def error_response(error: ApiError) -> Response:
    """The refusal as JSON."""
    return Response(
        orjson.dumps(error.body()), error.status, headers=error.headers, media_type="application/json"
    )


class Guard:
    """ASGI middleware: refuses strangers, bounds the time of a request, turns exceptions into OpenAI's error JSON.

    Host: a page of another site can make a browser ask this machine under that site's name (DNS rebinding), so only IP
    addresses, localhost and `hosts` are answered. Origin: a page of another origin is refused, and no CORS header is ever
    sent. The key is compared by digest in constant time.
    """

    def __init__(
        self,
        app: App,
        *,
        key: str | None,
        hosts: Collection[str],
        seconds: float,
        hang_up: Callable[[Any], None],
    ):
        self._app = app
        self._key = None if key is None else _digest(key.encode())
        self._hosts = {"localhost", *(h.lower().rstrip(".") for h in hosts)}
        self._seconds = seconds + GRACE
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = ended = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal started, ended
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        try:
            async with asyncio.timeout(self._seconds):
                try:
                    self._check(scope)
                    await self._app(scope, receive, sending)
                    return
                except ApiError as error:
                    response = error_response(error)
                except Exception:  # a bug: seen by who runs the server, not by who asked
                    traceback.print_exc(file=sys.stderr)
                    response = error_response(server_error())
                if not started:
                    await response(scope, receive, sending)
                elif not ended:  # half an answer must not look whole
                    self._hang_up(scope["client"])
        except TimeoutError:  # the reader does not read, or the request does not come
            if not started:
                late = ApiError(
                    504,
                    "시간이 다 되었습니다 (the request took too long)",
                    kind="server_error",
                    code="timeout",
                    headers={"Connection": "close"},
                )
                await error_response(late)(scope, receive, sending)
                return
            self._hang_up(scope["client"])

    def _check(self, scope: Scope) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self._known(host):
            raise ApiError(
                421,
                f"이 이름으로는 답하지 않습니다 (not served under this host name): {host[:100]!r}. "
                "kobitnet serve --hosts NAME",
                code="unknown_host",
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            raise ApiError(
                403,
                f"다른 사이트의 요청은 받지 않습니다 (no requests from other origins): {origin[:100]!r}",
                kind="permission_error",
                code="foreign_origin",
            )
        if self._key is not None and scope["path"].startswith("/v1"):
            scheme, _, given = headers.get(b"authorization", "").partition(" ")
            same = hmac.compare_digest(_digest(given.strip().encode("latin-1")), self._key)
            if not (scheme.lower() == "bearer" and same):
                raise ApiError(
                    401,
                    "API 키가 맞지 않습니다 (wrong or missing API key): Authorization: Bearer …",
                    kind="authentication_error",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )

    def _known(self, host: str) -> bool:
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        try:
            ipaddress.ip_address(name)
            return True
        except ValueError:
            return name.lower().rstrip(".") in self._hosts


def server_error() -> ApiError:
    """Something is wrong on this side; what it was stands on stderr."""
    return ApiError(500, "서버 오류입니다 (server error)", kind="server_error", code="internal_error")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
