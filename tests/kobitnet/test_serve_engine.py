"""kobitnet serve with a real model: the same text as generate, OpenAI's client, synth, signals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from kobitnet.generate import GenerateConfig, generate
from kobitnet.serve.verb import ServeConfig

from . import toy
from .serving import Client, serving

CHAT = "/v1/chat/completions"
USER = {"messages": [{"role": "user", "content": "봄에는?"}]}


@pytest.fixture(scope="module")
def random_model(tmp_path_factory):
    """A random b1.58 model with a tokenizer, taken for a chat model."""
    from .bitnet_models import edit_config, make_model

    folder = make_model(tmp_path_factory.mktemp("models") / "tiny")
    toy.tokenizer().save(folder)
    edit_config(folder, kobitnet={"stage": "sft"})
    return folder


def test_the_engine_answers_as_generate_does(random_model):
    question = "기차는 몇 시에 떠나나요?"
    config = GenerateConfig(greedy=True, max_new_tokens=40)
    wanted = generate(random_model, question, config=config)
    with serving(random_model, ServeConfig(port=0, workers=2, threads=2)) as client:
        results = []

        def one():
            results.append(client.chat(question, temperature=0, max_tokens=40)[1])

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        texts = {r["choices"][0]["message"]["content"] for r in results}
        assert len(texts) == 1
        assert wanted.lines[0].startswith(
            texts.pop()
        )  # generate shows an unfinished last character as U+FFFD
        drawn = [client.chat(question, seed=7, max_tokens=30)[1]["choices"][0]["message"] for _ in range(2)]
        assert drawn[0] == drawn[1]
        peer(client, question)


def test_synth_asks_it(random_model, tmp_path):
    """`kodata synth answers` over this server gives what `kodata dpo --rejected` takes."""
    from kodata.chat.dpo import DpoConfig, dpo
    from kodata.synth.client import EndpointConfig
    from kodata.synth.verb import synth

    chats = tmp_path / "chat.jsonl"
    rows = [
        {"id": f"q{i}", "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for i, (q, a, _) in enumerate(toy.QUESTIONS)
    ]
    chats.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    out = tmp_path / "answers.jsonl"
    with serving(
        random_model, ServeConfig(port=0, workers=2, queue=1)
    ) as client:  # some requests are told to wait
        ask = EndpointConfig(
            endpoint=f"{client.address}/v1", model="tiny", max_tokens=24, concurrency=6, retries=20
        )
        assert synth("answers", [str(chats)], output=out, ask=ask).summary["kept"] == 6
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [r["id"] for r in lines] == [f"q{i}" for i in range(6)]
    assert all(r["settings"]["fingerprint"].startswith("fp_") for r in lines)
    assert (
        dpo([str(chats)], output=tmp_path / "pairs.jsonl", config=DpoConfig(rejected=out)).summary["kept"]
        >= 4
    )


def peer(client: Client, question: str) -> None:
    """OpenAI's own client, where it is installed."""
    openai = pytest.importorskip("openai")
    theirs = openai.OpenAI(base_url=f"{client.address}/v1", api_key="none", max_retries=0)
    name = theirs.models.list().data[0].id
    ask = {
        "model": name,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": 20,
    }
    whole = theirs.chat.completions.create(**ask)
    parts = list(theirs.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
    assert text == whole.choices[0].message.content and parts[-1].usage == whole.usage
    assert whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 20
    # greedy: what is drawn from a random model may be the end of text
    short = theirs.completions.create(model=name, prompt="강가에", max_tokens=3, temperature=0)
    assert short.usage.completion_tokens == 3 and short.choices[0].finish_reason == "length"
    with pytest.raises(openai.BadRequestError) as caught:
        theirs.chat.completions.create(**{**ask, "temperature": -1})
    assert caught.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        theirs.completions.create(model="other", prompt="x")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_cleanly(random_model, number):
    command = [sys.executable, "-m", "kobitnet", "serve", str(random_model), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KOBITNET_API_KEY": ""},
    )
    try:
        line = process.stderr.readline()
        address = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert address, line + process.stderr.read()
        body = json.dumps({"messages": USER["messages"], "stream": True}).encode()
        with socket.create_connection(("127.0.0.1", int(address[1])), timeout=20) as connection:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            process.send_signal(number)
            began = time.monotonic()
            while connection.recv(65536):
                pass
        out, error = process.communicate(timeout=20)
        assert process.returncode == 0, error
        assert "멈췄습니다" in out and "Traceback" not in error
        assert time.monotonic() - began < 15
    finally:
        process.kill()


def test_the_server_needs_no_torch(random_model):
    code = (
        "import sys; from kobitnet.serve.verb import opened, ServeConfig; from pathlib import Path\n"
        f"with opened(Path({str(random_model)!r}), ServeConfig(port=0)) as ready: print(ready.name, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["tiny", "False"]
