"""Greedy text by llama.cpp, in a process of its own: `python llama_text.py < request.json`, needs llama-cpp-python.

request: {"file", "prompts": [[id…]…], "tokens": n, "encode": [text…], "threads": n}; answer: {"texts": [[id…]…], "encoded": [[id…]…],
"prompt": [wall, cpu], "decode": [wall, cpu]}: seconds of the last prompt (all its ids and the first token), then of a token.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any


def python_with_llama() -> str | None:
    """An interpreter that has llama_cpp: KOBITNET_LLAMA_PYTHON, else this one, None when it has not."""
    python = os.environ.get("KOBITNET_LLAMA_PYTHON", sys.executable)
    found = subprocess.run([python, "-c", "import llama_cpp"], capture_output=True)
    return python if found.returncode == 0 else None


def ask(python: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a llama.cpp whose OpenMP threads wait as they do by default: what suits torch beside us must not slow it."""
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [python, __file__], input=json.dumps(request), capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def clocks() -> list[float]:
    """[wall, processor time of this process], seconds."""
    return [time.perf_counter(), time.process_time()]


def main() -> None:
    from llama_cpp import Llama

    request = json.load(sys.stdin)
    threads = request.get("threads", 1)
    longest = max(map(len, request["prompts"])) + request["tokens"] + 8
    model = Llama(
        model_path=request["file"],
        n_ctx=longest,
        n_batch=512,
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
    )
    texts, first, rest = [], [0.0, 0.0], [0.0, 0.0]
    for ids in request["prompts"]:
        model.reset()
        start = clocks()
        new: list[int] = []
        for token in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
            new.append(token)
            if len(new) == 1:
                now = clocks()
                first, start = [b - a for a, b in zip(start, now, strict=True)], now
            if len(new) >= request["tokens"]:
                break
        rest = [(b - a) / max(1, len(new) - 1) for a, b in zip(start, clocks(), strict=True)]
        texts.append(new)
    encoded = [
        model.tokenize(text.encode(), add_bos=False, special=False) for text in request.get("encode", [])
    ]
    print(json.dumps({"texts": texts, "encoded": encoded, "prompt": first, "decode": rest}))


if __name__ == "__main__":
    main()
