"""Many clients at once, most of them badly behaved: the server answers, stays small and leaks nothing."""

import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from . import toy
from .serving import Client, until

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")

QUESTION = {"messages": [{"role": "user", "content": "기차는 몇 시에 떠나나요?"}], "max_tokens": 12}
KINDS = (
    ["whole"] * 4
    + ["stream"] * 4
    + ["slow", "slow", "leave", "leave early", "large", "malformed", "wrong", "noise"]
)
CLIENTS = 24


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(client, process id) of `kobitnet serve` with a random model in a process of its own."""
    from .bitnet_models import edit_config, make_model

    folder = make_model(tmp_path_factory.mktemp("load") / "tiny", max_position_embeddings=4096)
    toy.tokenizer().save(folder)
    edit_config(folder, kobitnet={"stage": "sft"})
    command = [
        sys.executable,
        "-m",
        "kobitnet",
        "serve",
        str(folder),
        "--port",
        "0",
        "--queue",
        "8",
        "--threads",
        "1",
    ]
    said = folder.parent / "stderr.txt"  # not a pipe: one that nobody reads would stop the server
    with open(said, "w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        until(lambda: "http://" in said.read_text() or process.poll() is not None)
        address = re.search(r"http://\S+:\d+", said.read_text())
        assert address, said.read_text()
        yield Client(address[0], None), process.pid
        process.terminate()
        assert process.wait(20) == 0 and "Traceback" not in said.read_text(), said.read_text()[:3000]
    finally:
        process.kill()


def resident(pid: int) -> float:
    """Resident memory, MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024


def one(client: Client, kind: str, rng: random.Random) -> str:
    """One request of a kind; what became of it."""
    if kind in ("whole", "stream"):
        status, headers, data = client.ask(
            "POST", "/v1/chat/completions", {**QUESTION, "stream": kind == "stream"}
        )
        while status == 429:
            time.sleep(min(int(headers["retry-after"]), 1) * rng.uniform(0.02, 0.2))
            status, headers, data = client.ask(
                "POST", "/v1/chat/completions", {**QUESTION, "stream": kind == "stream"}
            )
        whole = data.endswith(b"data: [DONE]\n\n") if kind == "stream" else "usage" in json.loads(data)
        return f"{status} {'whole' if whole else 'cut'}"
    if kind == "large":
        return str(client.ask("POST", "/v1/chat/completions", b'"' + b"a" * (3 << 20))[0])
    if kind == "malformed":
        bad = [b"{", b"\xff", b'{"messages": NaN}', b"[" * 50_000, b"", b'{"messages": [{"role": "user"']
        return str(client.ask("POST", "/v1/chat/completions", rng.choice(bad))[0])
    if kind == "wrong":
        bad = [
            {"messages": []},
            {**QUESTION, "n": 3},
            {**QUESTION, "foo": 1},
            {"messages": [{"role": "x", "content": "y"}]},
        ]
        return str(client.ask("POST", "/v1/chat/completions", rng.choice(bad))[0])
    if kind == "noise":
        with client.raw(rng.randbytes(200)) as connection:
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(100)[9:12].decode() or "closed"
    long = client.request_bytes({**QUESTION, "stream": True, "max_tokens": 2000})
    if kind == "leave early":
        client.raw(long[: rng.randrange(10, len(long))]).close()
        return "left"
    with client.raw(b"") as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(long)
        for _ in range(20 if kind == "slow" else 1):
            if not connection.recv(16):
                break
            time.sleep(0.01)
    return "left"


@pytest.mark.parametrize("count", [160, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_clients(server, count):
    client, pid = server
    for _ in range(20):
        one(client, "whole", random.Random(0))
    before, files = resident(pid), len(os.listdir(f"/proc/{pid}/fd"))
    rng = random.Random(count)
    todo = [(kind, random.Random(i)) for i, kind in enumerate(rng.choices(KINDS, k=count))]
    seen: Counter[tuple[str, str]] = Counter()
    failures: list[str] = []
    lock = threading.Lock()
    most = [before]

    def work() -> None:
        while True:
            with lock:
                if not todo:
                    return
                kind, own = todo.pop()
            try:
                outcome = one(client, kind, own)
            except (ConnectionResetError, BrokenPipeError):
                outcome = "reset"
            except Exception as error:
                failures.append(f"{kind}: {error!r}")
                return
            with lock:
                seen[kind, outcome] += 1
                most[0] = max(most[0], resident(pid))

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures, failures[:3]
    assert sum(seen.values()) == count
    allowed = {
        "whole": {"200 whole"}, "stream": {"200 whole"}, "large": {"413"}, "malformed": {"400"}, "wrong": {"400"},
        "noise": {"400", "closed", "reset"}, "slow": {"left"}, "leave": {"left"}, "leave early": {"left"},
    }  # fmt: skip
    assert all(outcome in allowed[kind] for kind, outcome in seen), seen
    until(lambda: json.loads(client.ask("GET", "/health")[2]) == {"status": "ok", "running": 0, "waiting": 0})
    until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= files + 2)
    assert client.ask("POST", "/v1/chat/completions", QUESTION)[0] == 200
    # 24 bodies of 1 MB at a time, parsed: the ceiling does not grow with the number of requests.
    assert most[0] - before < 120, (
        f"{before:.0f} MB before, {most[0]:.0f} MB at most, {resident(pid):.0f} MB after"
    )
    print(
        f"{count} requests: {before:.0f} MB before, {most[0]:.0f} at most, {resident(pid):.0f} after; {dict(seen)}"
    )
