"""kobitnet generate: text from a model, for one prompt or a whole JSONL of them."""

import sys
from pathlib import Path
from typing import Annotated

from kobitnet.answer_file import answer_file
from kobitnet.prompting import GenerateConfig, open_backend, prompt_tokens, stop_ids
from kodata.run.errors import UsageError
from kodata.run.flags import Flat, Fresh, Limit, Parameter, Seed
from kodata.run.result import Result


def generate(
    model: Annotated[Path, Parameter(help="run 폴더, 모델 폴더, GGUF 파일 (run or model folder, GGUF file)")],
    prompt: Annotated[
        str | None, Parameter(help="이어 쓸 글이나 질문, 없으면 표준 입력에서 (prompt, else standard input)")
    ] = None,
    /,
    *,
    prompts: Annotated[
        Path | None,
        Parameter(
            help="대화·선호 쌍 JSONL: 대화마다 마지막 답을 새로 생성 (chat or pair JSONL: answers anew)"
        ),
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="--prompts 의 답을 쓸 JSONL (answers JSONL)")
    ] = None,
    config: Annotated[GenerateConfig | None, Flat] = None,
    limit: Limit = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> Result:
    """글을 이어 쓰거나 대화에 답합니다 (continue a text or answer a chat)

    After SFT or DPO the prompt goes through the chat template; --raw continues it as plain text. With --prompts and -o
    every conversation of the file is answered, in order; the same command again goes on where it stopped.
    """
    config = config or GenerateConfig()
    if prompts is not None:
        if output is None:
            raise UsageError("--prompts 에는 -o 가 필요합니다 (--prompts needs -o)", help="-o answers.jsonl")
        return answer_file(model, prompts, output, config, limit, seed, fresh)
    if prompt is None:
        prompt = sys.stdin.read().rstrip("\n")
    backend, chat = open_backend(model, config)
    ids = prompt_tokens(backend.tokenizer, prompt, chat=chat, system=config.system)
    new = backend.generate(
        ids, config.max_new_tokens, stop_ids=stop_ids(backend.tokenizer), seed=seed, **config.sampling()
    )
    text = backend.tokenizer.decode(new, skip_special=True)
    return Result(
        summary={"prompt": prompt, "text": text, "tokens": len(new)},
        lines=[text.lstrip() if chat else prompt + text],
    )
