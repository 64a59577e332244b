"""A server in a thread, with a backend that says what the test wants, and raw requests to it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kobitnet.serve import verb
from kobitnet.serve.verb import Opened, ServeConfig

from . import toy

ANSWER = "봄이 오면 강가에 버드나무가 먼저 푸르러집니다."


class Scripted:
    """A backend that says `answer`, byte by byte where it can; `wait` seconds before each token."""

    name = "engine"

    def __init__(self, answer: str = ANSWER, *, wait: float = 0.0, positions: int = 512):
        self.tokenizer = toy.tokenizer()
        self.answer = answer
        self.wait = wait
        self.positions = positions
        self.calls: list[dict[str, Any]] = []
        self.given = 0
        """Tokens handed out."""
        self.open = 0
        """Streams not yet ended."""

    def stream(
        self, ids: Sequence[int], max_new_tokens: int, *, stop_ids: Sequence[int], **sampling: Any
    ) -> Iterator[int]:
        self.calls.append(
            {"ids": list(ids), "max_new_tokens": max_new_tokens, "stop_ids": list(stop_ids), **sampling}
        )
        self.open += 1
        try:
            for token in self.tokenizer.encode(" " + self.answer)[:max_new_tokens]:
                if self.wait:
                    time.sleep(self.wait)
                self.given += 1
                yield token
        finally:
            self.open -= 1


class Client:
    """Requests to one address."""

    def __init__(self, address: str, opened: Opened):
        self.address = address
        self.opened = opened
        host, _, port = address.removeprefix("http://").rpartition(":")
        self.host, self.port = host, int(port)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers in lower case, body)."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        """(status, JSON)."""
        status, _, data = self.ask("POST", path, body, headers)
        return status, json.loads(data)

    def chat(self, text: str = "안녕?", **more: Any) -> tuple[int, dict[str, Any]]:
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **more})

    def events(self, path: str, body: Any) -> list[dict[str, Any]]:
        """The chunks of a stream; it must end with [DONE]."""
        status, headers, data = self.ask("POST", path, {**body, "stream": True})
        assert status == 200 and headers["content-type"].startswith("text/event-stream"), data
        parts = data.decode().split("\n\n")
        assert parts[-2:] == ["data: [DONE]", ""]
        return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]

    def raw(self, data: bytes) -> socket.socket:
        """A connection on which `data` was sent."""
        made = socket.create_connection((self.host, self.port), timeout=30)
        made.sendall(data)
        return made

    def request_bytes(self, body: Any, path: str = "/v1/chat/completions") -> bytes:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data


def until(condition: Any, seconds: float = 15) -> None:
    """Wait for something another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.01)


@contextmanager
def serving(model: Path, config: ServeConfig) -> Iterator[Client]:
    """`kobitnet serve` in a thread of this process."""
    with verb.opened(model, config) as opened:
        thread = threading.Thread(target=opened.server.run, kwargs={"sockets": [opened.socket]}, daemon=True)
        thread.start()
        until(lambda: opened.server.started)
        try:
            yield Client(opened.address, opened)
        finally:
            opened.server.should_exit = True
            thread.join(15)
            assert not thread.is_alive()


@contextmanager
def scripted(backend: Scripted, folder: Path, *, stage: str = "sft", **config: Any) -> Iterator[Client]:
    """`serving` with a backend that needs no model file."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text(json.dumps({"model_type": "bitnet", "kobitnet": {"stage": stage}}))
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verb, "_load", lambda *_: backend)
            client = stack.enter_context(serving(folder, ServeConfig(port=0, **config)))
        yield client
