"""generate, eval, export to GGUF and bench on the engine in a process that cannot import torch or transformers."""

import json
import subprocess
import sys
from pathlib import Path

from tests.kobitnet.bitnet_models import edit_config, make_model
from tests.kobitnet.toy import text_shards, tokenizer

SCRIPT = """
import json, sys
for name in ("torch", "transformers", "safetensors.torch"):
    sys.modules[name] = None  # an import raises ImportError
from pathlib import Path
from kobitnet.bench import BenchConfig, bench
from kobitnet.evaluate.verb import EvalConfig, evaluate
from kobitnet.export import export
from kobitnet.generate import GenerateConfig, generate
model, shards, chats, out = map(Path, sys.argv[1:])
short = GenerateConfig(backend="engine", greedy=True, max_new_tokens=4)
text = generate(model, "기차는", config=short).summary["text"]
answers = generate(model, prompts=chats, output=out / "answers.jsonl", config=short)
scored = evaluate(model, on=shards, output=out / "eval", config=EvalConfig(backend="engine"))
export(model, to="gguf", output=out / "gguf")
file = out / "gguf" / "model-I2_S.gguf"
again = generate(file, "기차는", config=short).summary["text"]
bench(file, config=BenchConfig(prompt=8, decode=2, repeat=1))
assert not any(name.split(".")[0] == "torch" and module for name, module in sys.modules.items())
print(json.dumps({"same": text == again, "answers": answers.summary["answers"],
                  "untrained": scored.summary["untrained_perplexity"], "perplexity": scored.summary["perplexity"]}))
"""


def test_the_engine_needs_no_torch(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m", num_hidden_layers=1, hidden_size=128, intermediate_size=256)
    tokenizer().save(folder)
    edit_config(folder, kobitnet={"quant": "b1.58", "stage": "sft"})
    shards = text_shards(tmp_path / "shards", documents=20)
    chats = tmp_path / "chats.jsonl"
    row = {
        "id": "a",
        "messages": [{"role": "user", "content": "기차는?"}, {"role": "assistant", "content": "네"}],
    }
    chats.write_text(
        "".join(json.dumps({**row, "id": str(i)}, ensure_ascii=False) + "\n" for i in range(11)),
        encoding="utf-8",
    )
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, (folder, shards, chats, tmp_path / "out"))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["answers"] == 11 and found["perplexity"] > 1
    assert 100 < found["untrained"] < 900
    rows = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert [r["id"] for r in rows] == [str(i) for i in range(11)]
