"""The tokenizer inside a GGUF: byte-level BPE with a pre-tokenizer that llama.cpp knows by name."""

from pathlib import Path
from typing import Any

from kobitnet.engine.gguf import Gguf
from kodata.run.errors import UserError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # token types


def read_tokenizer(file: Gguf) -> Any:
    """The kotok tokenizer of a file's metadata. One that kotok made comes back with its own fingerprint.

    A file without `tokenizer.ggml.pre` (bitnet.cpp's release of 2B4T) is taken for Llama 3's pattern.

    Raises:
        UserError: no tokenizer, a kind other than byte-level BPE, an unknown pre-tokenizer, lists that do not fit together.
    """
    from kotok.pattern import REGEX
    from kotok.tokenizer import Tokenizer

    fields, path = file.fields, file.path

    def bad(what: str) -> UserError:
        return UserError(
            f"GGUF 안의 토크나이저를 쓸 수 없습니다 (cannot use the tokenizer in this GGUF): {what}",
            file=path,
            help="원래 모델 폴더를 쓰거나, 바이트 단위 BPE 로 내보낸 파일을 쓰세요 (use the model folder, or a byte-level BPE file)",
        )

    def strings(key: str) -> list[str]:
        value = fields.get(key)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise bad(key)
        return value

    if fields.get("tokenizer.ggml.model") != "gpt2":
        raise bad(f"tokenizer.ggml.model {fields.get('tokenizer.ggml.model')!r}")
    pre = fields.get("tokenizer.ggml.pre", "llama-bpe")
    pre = {"llama3": "llama-bpe", "llama-v3": "llama-bpe"}.get(pre, pre) if isinstance(pre, str) else pre
    if pre not in REGEX:
        raise bad(f"tokenizer.ggml.pre {pre!r}")
    tokens, merges = strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges")
    types = fields.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
    if not isinstance(types, list) or len(types) != len(tokens):
        raise bad("tokenizer.ggml.token_type")
    vocabulary = {text: i for i, (text, kind) in enumerate(zip(tokens, types, strict=True)) if kind == NORMAL}
    if len(vocabulary) != sum(kind == NORMAL for kind in types):
        raise bad("두 번 나온 토큰 (duplicate token)")
    pairs = [merge.split(" ", 1) for merge in merges]
    if any(len(pair) != 2 or not {*pair, "".join(pair)} <= vocabulary.keys() for pair in pairs):
        raise bad("tokenizer.ggml.merges")
    added = [
        {
            "id": i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == CONTROL,
        }
        for i, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (CONTROL, USER_DEFINED)
    ]
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name, key in {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding"}.items():
        i = fields.get(f"tokenizer.ggml.{key}_token_id")
        if i is None:
            continue
        if type(i) is not int or not 0 <= i < len(tokens):
            raise bad(f"tokenizer.ggml.{key}_token_id {i!r}")
        config[name] = tokens[i]
    if isinstance(fields.get("tokenizer.chat_template"), str):
        config["chat_template"] = fields["tokenizer.chat_template"]
    return Tokenizer(_spec(REGEX[pre], vocabulary, pairs, added), config)


def _spec(
    regex: str, vocabulary: dict[str, int], merges: list[list[str]], added: list[dict[str, Any]]
) -> dict[str, Any]:
    """tokenizer.json, the parts that decide ids exactly as kotok writes them."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


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
