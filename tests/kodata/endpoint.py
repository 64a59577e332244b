"""A fake OpenAI-compatible endpoint that answers as a model would, and can be told to fail."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any


def talk(text: str, seed: int) -> str:
    """A made answer to one of the prompts of kodata.synth."""
    mark = sum(ord(c) * (i + 1) for i, c in enumerate(text)) % 997
    if "과목" in text and "정해 주십시오" in text:
        return "다음과 같습니다.\n" + "\n".join(f"- 과목 {mark}-{i}: 설명 {i}" for i in range(6))
    if "차시로 나누십시오" in text:
        return "\n".join(f"{i}. **차시 {mark}-{i}**: 개념 가{i}, 개념 나{i}, 개념 다{i}" for i in range(1, 7))
    if "하나를 만들어 주십시오" in text:
        return (
            f"질문: {mark}번째 마을에 사는 {seed}번 농부가 심은 나무 {mark * 7 + seed}그루는 어떻게 자라나요?"
        )
    if "새 과제를" in text:
        return "\n".join(
            f"{i}. {seed}와 {i * mark}에 얽힌 옛이야기 {seed * 31 + i}를 지어 주세요." for i in range(1, 6)
        )
    return f"그 물음에는 이렇게 답합니다. 실마리는 {mark}입니다."


class Endpoint:
    """Use as a context manager. `fail(body, times_asked_before)` may give (status, body, headers) instead of an answer."""

    def __init__(self, fail: Callable[[dict[str, Any], int], Any] | None = None, *, wait: float = 0.0):
        self.fail = fail
        self.wait = wait
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.most = 0
        """Most requests at a time."""
        self._now = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                status, data, headers = outer.answer(self.path, raw, dict(self.headers))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that are killed leave in the middle."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Endpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, raw: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        body = json.loads(raw)
        with self._lock:
            before = self.seen[raw.decode()]
            self.seen[raw.decode()] += 1
            self.bodies.append(body)
            self.headers.append(headers)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            time.sleep(self.wait)
            failed = self.fail(body, before) if self.fail else None
            if failed:
                status, data, more = failed
                return status, data if isinstance(data, bytes) else json.dumps(data).encode(), more
            assert path == "/v1/chat/completions"
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content": talk(body["messages"][-1]["content"], body["seed"]),
                },
            }
            made = {
                "choices": [choice],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2},
                "system_fingerprint": "fp_x",
            }
            with self._lock:
                self.answered[raw.decode()] += 1
            return 200, json.dumps(made).encode(), {"Content-Type": "application/json"}
        finally:
            with self._lock:
                self._now -= 1
