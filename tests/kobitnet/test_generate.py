"""kobitnet generate: one prompt, a file of prompts, resume, broken files."""

import io
import json

import pytest

from kobitnet.generate import GenerateConfig, generate
from kobitnet.sft import SftConfig, sft
from kodata.run.errors import UsageError, UserError

from . import toy


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    sft(
        toy.chat_shards(folder / "chat"),
        source=toy.pretrained(folder, steps=20),
        output=folder / "sft",
        config=SftConfig(steps=60, batch_size=2, seq_len=192, lr=6e-3, threads=1, eval_every=0),
    )
    return folder


@pytest.fixture
def chats(tmp_path):
    path = tmp_path / "chats.jsonl"
    rows = [
        {"id": f"q{i}", "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for i, (q, a, _) in enumerate(toy.QUESTIONS)
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


GREEDY = {"greedy": True, "max_new_tokens": 12, "backend": "torch"}


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_text_goes_on(runs, monkeypatch):
    result = generate(runs / "run", "기차는", config=GenerateConfig(**GREEDY))
    assert result.lines[0].startswith("기차는") and len(result.lines[0]) > 3
    monkeypatch.setattr("sys.stdin", io.StringIO("기차는\n"))
    assert generate(runs / "run", config=GenerateConfig(**GREEDY)).lines == result.lines
    assert generate(runs / "run", "", config=GenerateConfig(**GREEDY)).summary["tokens"] > 0


def test_template_after_sft_only(runs):
    chat = generate(runs / "sft", "기차는 몇 시에 떠나나요?", config=GenerateConfig(**GREEDY))
    raw = generate(runs / "sft", "기차는 몇 시에 떠나나요?", config=GenerateConfig(**GREEDY, raw=True))
    assert raw.lines[0].startswith("기차는 몇") and not chat.lines[0].startswith("기차는 몇")


def test_file_of_prompts(runs, chats, tmp_path):
    out = tmp_path / "answers.jsonl"
    generate(runs / "sft", prompts=chats, output=out, config=GenerateConfig(**GREEDY), limit=4)
    rows = read(out)
    assert [r["id"] for r in rows] == ["q0", "q1", "q2", "q3"]
    assert all(r["prompt"][-1]["role"] == "user" and isinstance(r["response"], str) for r in rows)
    assert rows[0]["settings"]["temperature"] == 0 and len(rows[0]["model"]) == 16
    assert (
        rows[0]["response"]
        == generate(runs / "sft", toy.QUESTIONS[0][0], config=GenerateConfig(**GREEDY)).lines[0].strip()
    )


def test_interrupted_file_goes_on(runs, chats, tmp_path, monkeypatch):
    from kobitnet.evaluate.backend import TorchBackend

    config = GenerateConfig(max_new_tokens=6, temperature=1.0, backend="torch")
    generate(runs / "sft", prompts=chats, output=tmp_path / "whole.jsonl", config=config)
    real, calls = TorchBackend.generate, []

    def stops(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(TorchBackend, "generate", stops)
    out = tmp_path / "cut.jsonl"
    with pytest.raises(KeyboardInterrupt):
        generate(runs / "sft", prompts=chats, output=out, config=config)
    part = out.with_name("cut.run") / "answers.jsonl"
    assert not out.exists() and len(read(part)) == 3
    with open(part, "ab") as handle:
        handle.write(b'{"id": "q3", "respo')  # killed in the middle of a line
    generate(runs / "sft", prompts=chats, output=out, config=config)
    assert len(calls) == 4 + 3
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_pairs_as_prompts(runs, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        json.dumps(
            {
                "id": "p",
                "prompt": [{"role": "user", "content": "수도는?"}],
                "chosen": [{"role": "assistant", "content": "서울"}],
                "rejected": [{"role": "assistant", "content": "부산"}],
            },
            ensure_ascii=False,
        )
        + "\n"
    )
    generate(runs / "sft", prompts=path, output=tmp_path / "out.jsonl", config=GenerateConfig(**GREEDY))
    [row] = read(tmp_path / "out.jsonl")
    assert row["id"] == "p" and row["prompt"] == [{"role": "user", "content": "수도는?"}]


def test_refusals(runs, chats, tmp_path):
    with pytest.raises(UsageError, match="-o"):
        generate(runs / "sft", prompts=chats)
    with pytest.raises(UserError, match="no such file"):
        generate(runs / "sft", prompts=tmp_path / "none.jsonl", output=tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="no such folder"):
        generate(tmp_path / "none", "글", config=GenerateConfig(**GREEDY))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "a", "messages": [')
    with pytest.raises(UserError, match=r"broken\.jsonl:1"):
        generate(runs / "sft", prompts=broken, output=tmp_path / "b.jsonl", config=GenerateConfig(**GREEDY))
    for bad in ({"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}):
        with pytest.raises(UsageError):
            GenerateConfig(**bad)
