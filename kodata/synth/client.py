"""Asking an OpenAI-compatible endpoint: in order, at a bounded rate, each answer paid for once.

Every answer is written to `responses.jsonl` by the hash of its request before it is used, so a run that was killed
asks only for what is missing. The key comes from an environment variable and is never written anywhere.
"""

import hashlib
import itertools
import json
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from kodata.run.errors import UsageError, UserError

MAX_RESPONSE = 4 << 20
"""Bytes of one response."""
MAX_WAIT = 60.0
"""Longest pause between two tries, seconds, whatever the server asks for."""
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Statuses that may be better the next time."""
STOP = (401, 402, 403, 404, 405, 407)
"""Statuses that no other request will change."""


@dataclass(kw_only=True, slots=True)
class EndpointConfig:
    """Whom to ask, and how."""

    endpoint: str = ""
    """OpenAI 호환 주소, 예: http://127.0.0.1:8000/v1 (base URL of an OpenAI-compatible endpoint)"""
    model: str = ""
    """모델 이름 (model name at the endpoint)"""
    key_variable: str = "KODATA_API_KEY"
    """키가 든 환경 변수의 이름 (environment variable that holds the key)"""
    temperature: float = 0.8
    """무작위 정도 (temperature)"""
    top_p: float = 0.95
    """후보의 누적 확률 (cumulative probability of the candidates)"""
    max_tokens: int = 1024
    """한 답의 최대 토큰 (most tokens of one answer)"""
    concurrency: int = 4
    """동시에 보내는 요청 (requests under way at a time)"""
    rate: float = 0.0
    """분당 최대 요청, 0 = 제한 없음 (most requests a minute, 0 = no limit)"""
    timeout: float = 120.0
    """요청 하나의 최대 시간, 초 (most time of one request, seconds)"""
    retries: int = 5
    """다시 보내는 최대 횟수 (most retries of one request)"""

    def __post_init__(self) -> None:
        numbers = {"temperature": (0, 100), "top_p": (1e-9, 1), "max_tokens": (1, 2**31), "concurrency": (1, 256),
                   "rate": (0, 1e6), "timeout": (1e-3, 86_400), "retries": (0, 100)}  # fmt: skip
        for name, (least, most) in numbers.items():
            if not least <= getattr(self, name) <= most:  # also refuses NaN
                raise UsageError(
                    f"값이 맞지 않습니다 (bad value): --{name.replace('_', '-')} {getattr(self, name)}"
                )
        parts = urlsplit("")
        try:
            parts = urlsplit(self.endpoint)
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # half an IPv6 address, a port that is none
            whole = False
        if self.endpoint and not whole:
            raise UsageError(
                f"주소가 아닙니다 (not an http address): {self.endpoint}",
                "--endpoint http://127.0.0.1:8000/v1",
            )
        if parts.username or parts.password or parts.query:
            raise UsageError(
                "--endpoint 에 비밀을 적지 마십시오 (no user, password or query in --endpoint)",
                f"{self.key_variable}=… kodata synth …",
            )

    def needed(self) -> None:
        """Raise UsageError unless endpoint and model are given."""
        if not self.endpoint or not self.model:
            raise UsageError(
                "--endpoint 와 --model 이 있어야 합니다 (both are needed)",
                "--endpoint http://127.0.0.1:8000/v1 --model NAME, 예: kobitnet serve RUN",
            )

    @property
    def host(self) -> str:
        """What the output says about the endpoint."""
        return urlsplit(self.endpoint).hostname or ""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: (role, text) messages and a seed."""

    messages: tuple[tuple[str, str], ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `problem` says why there is no answer; `hash` names what was asked (endpoint left out)."""

    text: str
    finish: str
    hash: str
    problem: str = ""
    fingerprint: str = ""
    """What the endpoint calls its weights, when it says so."""


class Client:
    """Answers to requests, from the cache or the endpoint. Use as a context manager."""

    def __init__(self, config: EndpointConfig, folder: Path):
        config.needed()
        self.config = config
        self.asked = 0
        """Requests that were answered by the endpoint."""
        self.reused = 0
        """Requests whose answer was already there."""
        self._key = os.environ.get(config.key_variable, "")
        self._file = folder / "responses.jsonl"
        self._known: dict[str, dict[str, Any]] = {}
        self._under_way: dict[str, Future[Answer]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next = 0.0
        self._todo: queue.SimpleQueue[tuple[Ask, Future[Answer]] | None] = queue.SimpleQueue()
        self._http: Any = None
        self._out: Any = None

    def __enter__(self) -> "Client":
        import httpx2

        if self._key and urlsplit(self.config.endpoint).scheme == "http" and not _local(self.config.host):
            from kodata.run.progress import note

            note(f"주의: 키가 암호 없이 갑니다 (the key travels unencrypted): http://{self.config.host}")
        self._known = _load(self._file)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._out = open(self._file, "ab")
        self._http = httpx2.Client(
            timeout=self.config.timeout,
            follow_redirects=False,  # another host must not be sent the key
            trust_env=not _local(self.config.host),  # no proxy to this machine
            limits=httpx2.Limits(max_connections=self.config.concurrency),
        )
        for i in range(self.config.concurrency):  # daemons: an interrupt does not wait for the network
            threading.Thread(target=self._serve, name=f"ask-{i}", daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        for _ in range(self.config.concurrency):
            self._todo.put(None)
        with self._lock:
            self._out.close()
        self._http.close()

    def answers(self, asks: Iterable[Ask]) -> Iterator[Answer]:
        """One answer for each request, in order. Raises UserError when the endpoint cannot be used any longer."""
        waiting: deque[Future[Answer]] = deque()
        source = iter(asks)
        while True:
            for ask in itertools.islice(source, 2 * self.config.concurrency - len(waiting)):
                waiting.append(self._submit(ask))
            if not waiting:
                return
            yield waiting.popleft().result()

    def _submit(self, ask: Ask) -> "Future[Answer]":
        body = self._body(ask)
        key = self._cache_key(body)
        with self._lock:
            if key in self._under_way:
                return self._under_way[key]
            future: Future[Answer] = Future()
            if key in self._known:
                self.reused += 1
                future.set_result(_answer(self._known[key], _hash(body)))
            else:
                self._under_way[key] = future
                self._todo.put((ask, future))
            return future

    def _body(self, ask: Ask) -> dict[str, Any]:
        config = self.config
        return {
            "model": config.model,
            "messages": [{"role": role, "content": text} for role, text in ask.messages],
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_tokens": config.max_tokens,
            "seed": ask.seed % 2**63,  # what a JSON reader with 64-bit integers takes
        }

    def _cache_key(self, body: dict[str, Any]) -> str:
        return _hash({"endpoint": self.config.endpoint.rstrip("/"), **body})

    def _serve(self) -> None:
        while (item := self._todo.get()) is not None:
            ask, future = item
            if self._stop.is_set():
                continue
            body = self._body(ask)
            key = self._cache_key(body)
            try:
                answer = self._ask(body, key)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(answer)
            with self._lock:
                self._under_way.pop(key, None)

    def _ask(self, body: dict[str, Any], key: str) -> Answer:
        """Send one request until it is answered, refused for good, or tried often enough."""
        last = ""
        for attempt in range(self.config.retries + 1):
            self._turn()
            if self._stop.is_set():
                raise UserError("멈췄습니다 (stopped)")
            status, data, after = self._send(body)
            if status == 200:
                record = _record(data)
                if record is not None:
                    self._keep(key, record)
                    return _answer(record, _hash(body))
                last = "답이 OpenAI 꼴이 아닙니다 (the answer is not OpenAI's JSON)"
            else:
                last = _message(status, data)
                if status in STOP:
                    raise UserError(
                        f"엔드포인트가 거절합니다 (the endpoint refuses): {self.config.host}: {last}",
                        f"주소, 모델 이름, 키({self.config.key_variable})를 확인하십시오 (check address, model and key)",
                    )
                if status and status not in AGAIN:
                    return Answer("", "", _hash(body), problem=last)  # this request, not the others
            self._stop.wait(
                min(max(after, 0.5 * 2**attempt), MAX_WAIT) if attempt < self.config.retries else 0
            )
        raise UserError(
            f"엔드포인트가 답하지 않습니다 (the endpoint does not answer): {self.config.host}, {self.config.retries + 1}번: {last}",
            "답 받은 것은 남아 있습니다: 같은 명령을 다시 실행하면 이어집니다 (run the same command again to go on)",
        )

    def _turn(self) -> None:
        """Wait for this request's turn at the rate that was asked for."""
        if not self.config.rate:
            return
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + 60 / self.config.rate
        self._stop.wait(at - now)

    def _send(self, body: dict[str, Any]) -> tuple[int, bytes, float]:
        """(status, response, seconds to wait before another try); status 0 when nothing came."""
        import httpx2

        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        end = time.monotonic() + self.config.timeout
        try:
            url = self.config.endpoint.rstrip("/") + "/chat/completions"
            with self._http.stream("POST", url, content=_bytes(body), headers=headers) as response:
                data = bytearray()
                for part in response.iter_bytes():
                    data += part
                    if len(data) > MAX_RESPONSE:
                        return 0, b"response too large", 0.0
                    if time.monotonic() > end:
                        return 0, b"response too slow", 0.0
                after = response.headers.get("retry-after", "")
                return response.status_code, bytes(data), float(after) if after.isdecimal() else 0.0
        except (
            httpx2.HTTPError,
            OSError,
            UnicodeError,
            RuntimeError,
        ) as error:  # RuntimeError: closed while stopping
            return 0, f"{type(error).__name__}: {error}".encode()[:300], 0.0

    def _keep(self, key: str, record: dict[str, Any]) -> None:
        """On disk before it is used."""
        line = orjson.dumps({"key": key, **record}, option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            if self._out.closed:
                return
            self._out.write(line)
            self._out.flush()
            os.fsync(self._out.fileno())
            self._known[key] = record
            self.asked += 1


def _bytes(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # half a surrogate pair, which orjson refuses and JSON can escape
        return json.dumps(body).encode()


def _local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _hash(body: dict[str, Any]) -> str:
    """24 hex digits of a request."""
    data = json.dumps(body, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def _record(data: bytes) -> dict[str, Any] | None:
    """What is kept of a response, or None when it is not one."""
    try:
        value = orjson.loads(data)
        choice = value["choices"][0]
        text = choice["message"]["content"]
        if text is None and choice.get("finish_reason"):  # refused, filtered, or all spent on thinking
            text = ""
        usage = value.get("usage") or {}
        if not isinstance(text, str) or not isinstance(usage, dict):
            return None
        return {
            "text": text,
            "finish": str(choice.get("finish_reason") or ""),
            "fingerprint": str(value.get("system_fingerprint") or ""),
            "tokens": [usage.get("prompt_tokens"), usage.get("completion_tokens")],
        }
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return None


def _answer(record: dict[str, Any], asked: str) -> Answer:
    return Answer(record["text"], record["finish"], asked, fingerprint=record.get("fingerprint", ""))


def _message(status: int, data: bytes) -> str:
    """What an error response says, in one line."""
    try:
        error = orjson.loads(data)["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = data.decode("utf-8", "replace")
    return f"{status or '연결 실패 (no connection)'} {' '.join(str(said).split())[:200]}"


def _load(file: Path) -> dict[str, dict[str, Any]]:
    """The kept responses; half a line at the end, left by a kill, is cut off."""
    if not file.is_file():
        return {}
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        with open(file, "r+b") as handle:
            handle.truncate(len(whole))
    known = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            record = orjson.loads(line)
            known[record.pop("key")] = {
                "text": str(record["text"]),
                "finish": str(record["finish"]),
                **record,
            }
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise UserError(
                "저장된 답을 읽을 수 없습니다 (cannot read a kept response)",
                "그 줄을 지우면 다시 묻습니다 (remove the line to ask again)",
                file=file,
                line=number,
            ) from None
    return known
