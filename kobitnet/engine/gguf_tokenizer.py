"""The tokenizer inside a GGUF: byte-level BPE with a pre-tokenizer that llama.cpp knows by name."""

from pathlib import Path
from typing import Any

from kobitnet.engine.gguf import Gguf
from kodata.run.errors import UserError


def read_tokenizer(file: Gguf) -> Any:
    """The kotok tokenizer of a file's metadata. One that kotok made comes back with its own fingerprint.

    A file without `tokenizer.ggml.pre` (bitnet.cpp's release of 2B4T) is taken for Llama 3's pattern.

    Raises:
        UserError: no tokenizer, a kind other than byte-level BPE, an unknown pre-tokenizer, lists that do not fit together.
    """
    from kotok.gguf import from_fields, pre_tokenizer
    from kotok.pattern import REGEX

    fields, path = file.fields, file.path
    kind, pre = fields.get("tokenizer.ggml.model"), pre_tokenizer(fields)
    if (
        kind != "gpt2" or pre not in REGEX
    ):  # kotok opens more kinds, to compare them; the engine generates with these
        raise UserError(
            f"GGUF 안의 토크나이저를 쓸 수 없습니다 (cannot use the tokenizer in this GGUF): tokenizer.ggml.model {kind!r}, pre {pre!r}",
            file=path,
            help="원래 모델 폴더를 쓰거나, 바이트 단위 BPE 로 내보낸 파일을 쓰세요 (use the model folder, or a byte-level BPE file)",
        )
    return from_fields(fields, path)


def chat_stage(path: Path) -> str:
    """pretrain, sft or dpo as the file tells (`kobitnet.stage`); another's file with a chat template counts as sft."""
    file = Gguf(path)
    try:
        stage = file.fields.get("kobitnet.stage")
        if stage in ("pretrain", "sft", "dpo"):
            return str(stage)
        return "sft" if file.fields.get("tokenizer.chat_template") else "pretrain"
    finally:
        file.close()
