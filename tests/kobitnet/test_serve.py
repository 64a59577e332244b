"""kobitnet serve: answers, streams and refusals over HTTP."""

import json
import re

import pytest

from . import toy
from .serving import ANSWER, Scripted, scripted, until

CHAT = "/v1/chat/completions"
USER = {"messages": [{"role": "user", "content": "봄에는?"}]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for the tests that only ask."""
    backend = Scripted()
    with scripted(backend, tmp_path_factory.mktemp("serve"), max_tokens=400) as client:
        client.backend = backend
        yield client


@pytest.fixture
def ask(shared):
    shared.backend.answer, shared.backend.wait = ANSWER, 0.0
    shared.backend.calls.clear()
    return shared


def test_models_and_health(ask):
    status, headers, data = ask.ask("GET", "/v1/models")
    listed = json.loads(data)["data"][0]
    assert status == 200 and listed["object"] == "model" and listed["kobitnet"]["chat"] is True
    assert "access-control-allow-origin" not in headers
    status, _, data = ask.ask("GET", f"/v1/models/{listed['id']}")
    assert status == 200 and json.loads(data)["id"] == listed["id"]
    assert ask.ask("GET", "/v1/models/other")[0] == 404
    assert json.loads(ask.ask("GET", "/health")[2]) == {"status": "ok", "running": 0, "waiting": 0}


def test_chat_whole_and_streamed(ask):
    status, answer = ask.chat("봄에는?", seed=3, temperature=0.5, top_p=0.9, top_k=7, user="x")
    assert status == 200 and answer["object"] == "chat.completion"
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": ANSWER, "refusal": None}
    assert choice["finish_reason"] == "stop"
    call = ask.backend.calls[0]
    assert (call["seed"], call["temperature"], call["top_p"], call["top_k"]) == (3, 0.5, 0.9, 7)
    tokens = len(toy.tokenizer().encode(" " + ANSWER))
    assert answer["usage"] == {
        "prompt_tokens": len(call["ids"]), "completion_tokens": tokens, "total_tokens": len(call["ids"]) + tokens,
    }  # fmt: skip
    chunks = ask.events(CHAT, {**USER, "stream_options": {"include_usage": True}})
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    assert "".join(text) == ANSWER and "\ufffd" not in "".join(text)
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-2:] == [None, "stop"]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == tokens
    assert len({c["id"] for c in chunks}) == 1
    counted = ask.events(CHAT, {**USER, "stream_options": {"continuous_usage_stats": True}})
    seen = [c["usage"]["completion_tokens"] for c in counted if "usage" in c]
    assert seen == sorted(seen) and seen[-1] == tokens


def test_the_prompt_is_the_template_s_and_control_strings_stay_text(ask):
    from kotok.chat import prompt_ids

    made = toy.tokenizer()
    messages = [
        {"role": "developer", "content": "짧게."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "강가<|eot_id|>"}, {"type": "text", "text": "는?"}],
        },
    ]
    assert ask.post(CHAT, {"messages": messages})[0] == 200
    ids = ask.backend.calls[-1]["ids"]
    told = [{"role": "system", "content": "짧게."}, {"role": "user", "content": "강가<|eot_id|>는?"}]
    assert ids == prompt_ids(made, told)
    assert ids.count(made.end_of_turn_id) == 2  # the two that close the turns, none that the user typed


def test_completions(ask):
    status, answer = ask.post("/v1/completions", {"prompt": "강가에", "max_tokens": 200})
    assert status == 200 and answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == " " + ANSWER  # nothing is stripped
    assert ask.backend.calls[-1]["ids"] == toy.tokenizer().encode("강가에")
    chunks = ask.events("/v1/completions", {"prompt": ["강가에"]})
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"  # 16 tokens unless asked otherwise
    assert "".join(c["choices"][0]["text"] for c in chunks) == (" " + ANSWER)[:7]
    assert ask.post("/v1/completions", {"prompt": [72, 105]})[0] == 200
    assert ask.backend.calls[-1]["ids"] == [72, 105]
    assert ask.post("/v1/completions", {"prompt": ""})[0] == 200
    assert ask.backend.calls[-1]["ids"] == [toy.tokenizer().eot_id]


def test_length_and_stop(ask):
    for limit in range(1, 12):  # a cut in the middle of a syllable never shows half of it
        status, answer = ask.chat(max_tokens=limit)
        choice = answer["choices"][0]
        assert status == 200 and choice["finish_reason"] == "length"
        assert (
            ANSWER.startswith(choice["message"]["content"]) and answer["usage"]["completion_tokens"] == limit
        )
    _, answer = ask.chat(stop=["버드", "강가"])
    assert (
        answer["choices"][0]["message"]["content"] == "봄이 오면 "
        and answer["choices"][0]["finish_reason"] == "stop"
    )
    chunks = ask.events(CHAT, {**USER, "stop": "가에 버"})
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "봄이 오면 강"
    ask.chat(max_tokens=10**6)
    assert ask.backend.calls[-1]["max_new_tokens"] == 400  # the server's own limit
    ask.chat(max_completion_tokens=5, max_tokens=9)
    assert ask.backend.calls[-1]["max_new_tokens"] == 5


def test_errors_are_openai_json(ask):
    for status, code, answer in [
        (400, "invalid_json", ask.ask("POST", CHAT, b'{"messages": [')),
        (400, "invalid_json", ask.ask("POST", CHAT, b"\xff\xfe{}")),
        (400, "invalid_json", ask.ask("POST", CHAT, b"[" * 100_000)),
        (400, "invalid_json", ask.ask("POST", CHAT, b'{"messages": [{"role": "user", "content": "\\ud800"}]}')),
        (400, None, ask.ask("POST", CHAT, b"[]")),
        (400, "unknown_parameter", ask.ask("POST", CHAT, {**USER, "temprature": 1})),
        (404, "model_not_found", ask.ask("POST", CHAT, {**USER, "model": "gpt"})),
        (404, None, ask.ask("GET", "/nothing")),
        (405, None, ask.ask("GET", CHAT)),
        (405, None, ask.ask("OPTIONS", CHAT)),
        (415, None, ask.ask("POST", CHAT, USER, {"Content-Type": "text/plain"})),
        (413, "request_too_large", ask.ask("POST", CHAT, b" " * (2 << 20))),
        (400, "context_length_exceeded", ask.ask("POST", CHAT, {"messages": [{"role": "user", "content": "가" * 300}]})),
        (400, "context_length_exceeded", ask.ask("POST", CHAT, {"messages": [{"role": "user", "content": "가" * 90_000}]})),
        (400, None, ask.ask("POST", "/v1/completions", {"prompt": [10**9]})),
    ]:  # fmt: skip
        assert answer[0] == status, answer
        error = json.loads(answer[2])["error"]
        assert error["message"] and set(error) == {"message", "type", "param", "code"}
        if code == "context_length_exceeded":
            assert error["param"] == "messages"
        assert code is None or error["code"] == code
    long = ask.ask("POST", "/v1/completions", {"prompt": "가" * 300})
    assert json.loads(long[2])["error"]["param"] == "prompt"
    assert ask.backend.calls == []
    assert ask.chat()[0] == 200


def test_declared_sizes_and_broken_http(ask):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for data, status in [
        (f"{head}Content-Length: 99999999999\r\n\r\n", b"413"),
        (f"{head}Content-Length: -1\r\n\r\n", b"400"),
        ("GET / HTTP/1.1\r\nX: " + "a" * 70_000 + "\r\n\r\n", b"400"),
        ("안녕\r\n\r\n", b"400"),
        ("GET / HTTP/1.1\r\n\r\n", b"400"),
    ]:
        with ask.raw(data.encode()) as connection:
            assert connection.recv(4096).split(b" ")[1] == status, data[:60]
    with ask.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"10000\r\n") as connection:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(300):  # endless chunks
                connection.sendall(b" " * 0x10000 + b"\r\n10000\r\n")
    assert ask.chat()[0] == 200


def test_strangers_are_refused(ask):
    assert ask.ask("GET", "/v1/models", headers={"Host": "evil.example:80"})[0] == 421
    assert ask.ask("GET", "/", headers={"Host": "localhost.evil.example"})[0] == 421
    for host in ("localhost", "localhost:1", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert ask.ask("GET", "/health", headers={"Host": host})[0] == 200
    status, headers, data = ask.ask("POST", CHAT, USER, {"Origin": "http://evil.example"})
    assert status == 403 and json.loads(data)["error"]["code"] == "foreign_origin"
    assert not any(h.startswith("access-control") for h in headers)
    assert ask.ask("POST", CHAT, USER, {"Origin": "null"})[0] == 403
    assert ask.ask("POST", CHAT, USER, {"Origin": f"http://127.0.0.1:{ask.port}"})[0] == 200


def test_the_page_is_one_file_under_a_strict_policy(ask):
    status, headers, data = ask.ask("GET", "/")
    policy = headers["content-security-policy"]
    assert status == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    page = data.decode()
    assert (
        not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
        and "http://" not in page
        and "https://" not in page
    )
    assert "style=" not in page and "onclick" not in page


def test_a_key_guards_the_api(tmp_path):
    with scripted(Scripted(), tmp_path, api_key="비밀-key") as client:
        for wrong in (
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic x"},
            {"Authorization": "Bearer "},
        ):
            status, headers, data = client.ask("GET", "/v1/models", headers=wrong)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
            assert json.loads(data)["error"]["code"] == "invalid_api_key"
        right = {"Authorization": "Bearer " + "비밀-key".encode().decode("latin-1")}
        assert client.ask("GET", "/v1/models", headers=right)[0] == 200
        assert client.ask("GET", "/")[0] == 200 and client.ask("GET", "/health")[0] == 200


def test_base_models_complete_only(tmp_path):
    with scripted(Scripted(), tmp_path, stage="pretrain") as client:
        status, answer = client.chat()
        assert status == 400 and answer["error"]["code"] == "not_a_chat_model"
        assert client.post("/v1/completions", {"prompt": "강"})[0] == 200


def test_failures_of_the_model_are_told_and_survived(ask, monkeypatch, capfd):
    def broken(*_, **__):
        raise RuntimeError("secret detail")
        yield

    monkeypatch.setattr(ask.backend, "stream", broken)
    status, answer = ask.chat()
    assert status == 500 and "secret" not in json.dumps(answer)
    assert ask.events(CHAT, USER)[-1]["error"]["type"] == "server_error"
    assert "secret detail" in capfd.readouterr().err
    monkeypatch.undo()

    def bug(*_):
        raise RuntimeError("another secret")

    monkeypatch.setattr(ask.opened.runner, "submit", bug)
    for stream in (False, True):
        status, answer = ask.chat(stream=stream)
        assert status == 500 and answer["error"]["code"] == "internal_error"
        until(lambda: "another secret" in capfd.readouterr().err)
    monkeypatch.undo()
    assert ask.chat()[0] == 200
