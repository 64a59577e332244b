"""uvicorn as this house wants it: bounded connections, no endless headers, a clean stop."""

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from kodata.run.errors import UserError

MAX_CONNECTIONS = 256
BACKLOG = 128
HEADER_SECONDS = 15.0
"""A connection must have brought a whole request head by then."""
HEADER_BYTES = 32 * 1024
KEEP_ALIVE_SECONDS = 30
LINGER_SECONDS = 10.0
STOP_SECONDS = 5
"""How long open answers may take to end when the server stops."""


class _Protocol(H11Protocol):
    """A connection: one too many is dropped at once, one that stays silent after a while."""

    _hurry: Any = None
    """The timer of a request head that has begun."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._hurry = self.loop.call_later(HEADER_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:  # the head is whole
            if self._hurry is not None:
                self._hurry.cancel()
                self._hurry = None
        elif self._hurry is None and self.timeout_keep_alive_task is None:
            self._hurry = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def eof_received(self) -> None:
        """The client will say no more: the transport closes, which cancels an answer under way."""

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._linger()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._linger()

    def _linger(self) -> None:
        """A closing connection waits until its last bytes are read; a reader that never reads must not keep them."""
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("no application")


class Server(uvicorn.Server):
    """A uvicorn server that ends quietly on SIGINT and SIGTERM (a second one does not wait) and can hang up on a client."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]):
        super().__init__(config)
        self._on_stop = on_stop

    def hang_up(self, client: Any) -> None:
        """Drop the connection of `client` (host, port), whatever is still unsent."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol) and connection.client == client:
                connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._heard) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: Any) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol):
                connection.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises UserError when the address is taken or not of this machine."""
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = info[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"주소를 쓸 수 없습니다 (cannot use the address): {host}: {error}") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        return made
    except (OSError, OverflowError) as error:
        made.close()
        raise UserError(
            f"주소를 쓸 수 없습니다 (cannot listen on): {host}:{port}: {getattr(error, 'strerror', None) or error}",
            "다른 --port 를 고르십시오, 0 = 빈 것 아무거나 (choose another --port, 0 = any free one)",
        ) from None


def make_server(on_stop: Callable[[], None]) -> Server:
    """A server; with its ASGI application in `config.app`, `run(sockets=[listen(…)])` serves until a signal."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of every client that leaves
    config = uvicorn.Config(
        _nothing,
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return Server(config, on_stop)
