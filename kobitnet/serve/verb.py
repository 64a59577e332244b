"""kobitnet serve: an OpenAI-compatible server on this machine."""

import ipaddress
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kobitnet.finite import check_finite
from kodata.run.errors import UsageError
from kodata.run.flags import Flat, Parameter
from kodata.run.progress import note
from kodata.run.result import Result

if TYPE_CHECKING:
    from kobitnet.serve.runner import Runner
    from kobitnet.serve.server import Server

KEY_VARIABLE = "KOBITNET_API_KEY"


@dataclass(kw_only=True, slots=True)
class ServeConfig:
    """Where to listen, and the limits of one request and of all together."""

    host: str = "127.0.0.1"
    """들을 주소, 밖에 열려면 키가 있어야 함 (address; one that others reach needs a key)"""
    port: int = 8000
    """포트, 0 = 빈 것 아무거나 (port, 0 = any free one)"""
    api_key: str = ""
    """키, 없으면 환경 변수 KOBITNET_API_KEY (key, else this environment variable)"""
    hosts: list[str] = field(default_factory=list)
    """localhost 말고 답할 서버 이름 (host names to answer to besides localhost and IP addresses)"""
    name: str = ""
    """모델 이름, 없으면 폴더 이름 (model name, else the folder's)"""
    max_tokens: int = 1024
    """한 답의 최대 토큰 (most new tokens of one answer)"""
    context: int = 0
    """질문과 답의 최대 토큰, 0 = 모델이 읽는 만큼 (most tokens of prompt and answer, 0 = all the model reads)"""
    workers: int = 2
    """동시에 만드는 답의 수 (answers generated at a time)"""
    queue: int = 16
    """기다릴 수 있는 요청의 수, 넘으면 429 (requests that may wait, beyond that 429)"""
    timeout: float = 300.0
    """요청 하나의 최대 시간, 기다림 포함, 초 (most time of a request, waiting included, seconds)"""
    backend: Literal["auto", "torch", "engine"] = "auto"
    """계산기: engine = CPU 3진 엔진, auto = b1.58이면 engine (backend; auto = the engine for b1.58)"""
    threads: int = 0
    """엔진의 스레드 수, 0 = 코어 수 (threads of the engine, 0 = all cores)"""

    def __post_init__(self) -> None:
        check_finite(self)
        for name, least, most in (
            ("port", 0, 65535), ("max_tokens", 1, 2**31), ("context", 0, 2**31), ("workers", 1, 64),
            ("queue", 0, 100_000), ("threads", 0, 1024),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                flag = name.replace("_", "-")
                raise UsageError(
                    f"--{flag} 는 {least}에서 {most} 사이입니다 (must be {least} to {most}): {getattr(self, name)}"
                )
        if not self.timeout > 0:
            raise UsageError(f"--timeout 은 0보다 큽니다 (must be above 0): {self.timeout}")
        if not self.key() and not _loopback(self.host):
            raise UsageError(
                f"다른 기기가 닿는 주소에는 키가 있어야 합니다 (an address that others reach needs a key): {self.host}",
                f"{KEY_VARIABLE}=… kobitnet serve … --host {self.host}",
            )

    def key(self) -> str | None:
        """The key of the flag or the environment."""
        return self.api_key or os.environ.get(KEY_VARIABLE) or None


def serve(
    model: Annotated[Path, Parameter(help="run 폴더나 모델 폴더 (run or model folder)")],
    /,
    *,
    config: Annotated[ServeConfig | None, Flat] = None,
) -> Result:
    """이 컴퓨터에서 모델을 엽니다: OpenAI 호환 API와 대화 화면 (serve a model here: OpenAI-compatible API and a chat page)

    GET /v1/models, POST /v1/chat/completions, POST /v1/completions (both also as server-sent events), GET /health and
    the chat page at /. Listens on this machine only unless told otherwise; ends on Ctrl-C or SIGTERM.
    """
    from kobitnet.serve.server import BACKLOG

    config = config or ServeConfig()
    with opened(model, config) as ready:
        ready.socket.listen(BACKLOG)  # who reads the next line may connect at once
        note(f"모델을 열었습니다 (serving) {ready.name}: {ready.address}  멈춤 (stop): Ctrl-C")
        began = time.monotonic()
        ready.server.run(sockets=[ready.socket])
    runner = ready.runner
    summary = {
        "answers": runner.finished,
        "tokens": runner.tokens,
        "seconds": round(time.monotonic() - began, 1),
    }
    return Result(
        summary=summary,
        lines=[f"멈췄습니다: 답 {runner.finished:,}개, 토큰 {runner.tokens:,}개 (stopped: answers, tokens)"],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A model behind a bound socket: `server.run(sockets=[socket])` serves it."""

    name: str
    address: str
    server: "Server"
    socket: Any
    runner: "Runner"


@contextmanager
def opened(model: Path, config: ServeConfig) -> Iterator[Opened]:
    """Load the model and bind the address; threads and socket are ended at the end."""
    from kobitnet.engine.config import weights_fingerprint
    from kobitnet.prompting import GenerateConfig, backend_name, stage_of, stop_ids
    from kobitnet.serve.app import Served, make_app
    from kobitnet.serve.guard import Guard
    from kobitnet.serve.runner import Runner
    from kobitnet.serve.server import listen, make_server
    from kotok.chat import template_of

    socket = listen(config.host, config.port)  # first: a taken port is known before a large model is read
    runner = None
    try:
        name = backend_name(model, GenerateConfig(backend=config.backend))
        backend = _load(model, name, config.threads)
        tokenizer = backend.tokenizer
        tokenizer.encode("가")  # made before threads share it
        context = min(config.context or backend.positions, backend.positions)
        served = Served(
            name=config.name or _name(model),
            fingerprint=f"fp_{weights_fingerprint(model)}",
            created=int(Path(model).stat().st_mtime),
            chat=stage_of(model) in ("sft", "dpo"),
            template=template_of(tokenizer),
            context=context,
            max_tokens=min(config.max_tokens, context),
            seconds=config.timeout,
        )
        workers = config.workers if name == "engine" else 1
        runner = Runner(backend, workers=workers, queue=config.queue, stop_ids=stop_ids(tokenizer))
        server = make_server(runner.stop)
        server.config.app = Guard(
            make_app(runner, served),
            key=config.key(),
            hosts=[*config.hosts, config.host],
            seconds=config.timeout,
            hang_up=server.hang_up,
        )
        host, port = socket.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        yield Opened(name=served.name, address=address, server=server, socket=socket, runner=runner)
    finally:
        socket.close()
        if runner is not None:
            runner.stop()
            runner.join(10)


def _load(model: Path, name: str, threads: int) -> Any:
    if name == "engine":
        from kobitnet.engine import Engine

        return Engine.load(model, threads=threads or None)
    from kobitnet.evaluate.backend import load_backend

    return load_backend(model, name)


def _name(model: Path) -> str:
    """The folder's name, which says nothing about where it stands."""
    path = Path(model).resolve()
    return path.parent.name if path.name == "model" and path.parent.name else path.name or "model"


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
