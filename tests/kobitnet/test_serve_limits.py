"""kobitnet serve: the queue, time, clients that go away or do not read, addresses."""

import contextlib
import json
import socket
import threading

import pytest

from kobitnet.serve.server import listen
from kobitnet.serve.verb import ServeConfig
from kodata.run.errors import UsageError, UserError

from .serving import ANSWER, Scripted, scripted, until

CHAT = "/v1/chat/completions"
USER = {"messages": [{"role": "user", "content": "봄에는?"}]}


def test_a_full_queue_says_when_to_come_back(tmp_path):
    backend = Scripted(wait=0.01)
    with scripted(backend, tmp_path, workers=1, queue=1) as client:
        results = []
        threads = [threading.Thread(target=lambda: results.append(client.chat()[0])) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: client.opened.runner.load == (1, 1))
        status, headers, data = client.ask("POST", CHAT, USER)
        assert status == 429 and 1 <= int(headers["retry-after"]) <= 60
        assert json.loads(data)["error"]["code"] == "queue_full"
        for thread in threads:
            thread.join()
        assert results == [200, 200]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_stops_its_answer(tmp_path, stream):
    backend = Scripted("가" * 100, wait=0.02)
    with scripted(backend, tmp_path, workers=1) as client:
        running = client.raw(client.request_bytes({**USER, "stream": stream}))
        until(lambda: backend.given > 2)
        waiting = client.raw(client.request_bytes({**USER, "stream": stream}))
        until(lambda: client.opened.runner.load == (1, 1))
        waiting.close()
        until(lambda: client.opened.runner.load == (1, 0))
        running.close()
        until(lambda: backend.open == 0)
        assert backend.given < 150 and len(backend.calls) == 1


def test_an_answer_has_its_time(tmp_path):
    backend = Scripted("가" * 100, wait=0.02)
    with scripted(backend, tmp_path, timeout=0.3) as client:
        status, answer = client.chat()
        assert status == 504 and answer["error"]["code"] == "timeout"
        chunks = client.events(CHAT, USER)
        assert chunks[-1]["error"]["code"] == "timeout" and chunks[1]["choices"][0]["delta"]["content"]
        assert backend.open == 0


def test_slow_readers_hold_nobody_and_are_dropped(tmp_path, monkeypatch):
    from kobitnet.serve import guard, server

    monkeypatch.setattr(guard, "GRACE", 0.5)
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 1)
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.2)
    backend = Scripted("가" * 450, positions=2_000_000)
    with scripted(backend, tmp_path, workers=1, max_tokens=10**6, timeout=1.5) as client:
        backend.answer = "가나다라마바사아자차카타파하" * 4000  # megabytes of events, more than sockets hold
        slow = socket.create_connection((client.host, client.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(client.request_bytes({**USER, "stream": True}))
        until(lambda: backend.given > 100)
        backend.answer = ANSWER
        assert client.chat()[0] in (200, 504)
        until(lambda: backend.open == 0)
        assert client.chat()[1]["choices"][0]["message"]["content"] == ANSWER
        until(lambda: not client.opened.server.server_state.connections)
        slow.close()


def test_silent_connections_are_dropped(tmp_path, monkeypatch):
    from kobitnet.serve import app, server

    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(app, "BODY_SECONDS", 0.3)
    with scripted(Scripted(), tmp_path) as client:
        silent = [client.raw(b"GET / HTTP/1.1\r\nHo") for _ in range(4)]
        until(lambda: len(client.opened.server.server_state.connections) == 4)
        with client.raw(b"") as fifth:
            assert fifth.recv(10) == b""
        for connection in silent:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(10) == b""
            connection.close()
        with client.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") as second:
            said = b""
            while not said.endswith(b"}"):
                said += second.recv(4096)
            second.sendall(b"GET /health HT")  # the second request of a connection too
            with contextlib.suppress(ConnectionResetError):
                assert second.recv(10) == b""
        half = client.request_bytes(USER)[:-5]
        with client.raw(half) as connection:
            assert connection.recv(4096).split(b" ")[1] == b"408"
        assert client.chat()[0] == 200


def test_addresses_that_others_reach_need_a_key(monkeypatch):
    monkeypatch.delenv("KOBITNET_API_KEY", raising=False)
    with pytest.raises(UsageError, match="키"):
        ServeConfig(host="0.0.0.0")
    assert ServeConfig(host="0.0.0.0", api_key="k").key() == "k"
    monkeypatch.setenv("KOBITNET_API_KEY", "e")
    assert ServeConfig(host="192.168.0.3").key() == "e"
    assert ServeConfig(host="::1").key() == "e"
    for bad in (
        {"port": 70_000},
        {"workers": 0},
        {"queue": -1},
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"max_tokens": 0},
    ):
        with pytest.raises(UsageError):
            ServeConfig(**bad)


def test_a_taken_port_is_said():
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(UserError, match=str(taken.getsockname()[1])):
            listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError):
        listen("no.such.host.invalid", 1)
