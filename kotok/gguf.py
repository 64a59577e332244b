"""A tokenizer as GGUF metadata and back: what `vocab.gguf` holds, and how the vocabulary of any GGUF is opened.

The one definition of which fields a tokenizer becomes; their bytes are in kotok.gguf_metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kodata.run.errors import UserError
from kodata.run.files import atomic_open
from kotok.gguf_metadata import metadata_only, read_fields
from kotok.tokenizer import Tokenizer
from kotok.tokenizer_json import added_token, bpe_model, byte_level_spec, metaspace_spec, piece_merges

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_SAME = {"llama3": "llama-bpe", "llama-v3": "llama-bpe", "gpt-4o": "o200k", "llama4": "o200k"}
"""Names in `tokenizer.ggml.pre` beside our own that stand for a regex we have."""


# ---- writing ------------------------------------------------------------------------------------


def vocabulary_fields(tokenizer: Tokenizer, vocab: int | None = None) -> dict[str, Any]:
    """GGUF metadata of a byte-level BPE tokenizer; ids up to `vocab` that it does not use become unused tokens.

    Raises:
        UserError: not byte-level BPE of a pre-tokenizer that llama.cpp knows by name, or more ids than `vocab`.
    """
    spec, size = tokenizer.spec, vocab or tokenizer.vocab_size
    pre = pattern_name(spec)
    model = spec["model"]
    if model.get("type") != "BPE" or pre is None:
        raise UserError(
            "GGUF 로 담을 수 없는 토크나이저 (GGUF needs a byte-level BPE that llama.cpp knows: llama-bpe, qwen2)",
            "--algorithm staged-bbpe 나 bbpe 로 배우십시오 (train one of these)",
        )
    if tokenizer.vocab_size > size:
        raise UserError(f"토크나이저가 모델보다 큽니다 (tokenizer {tokenizer.vocab_size} > model {size})")
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [UNUSED] * size
    for text, i in model["vocab"].items():
        tokens[i], types[i] = text, NORMAL
    for one in spec.get("added_tokens") or []:
        tokens[one["id"]] = one["content"]
        types[one["id"]] = CONTROL if one.get("special") else USER_DEFINED
    fields: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [
            m if isinstance(m, str) else " ".join(m) for m in model.get("merges") or []
        ],
    }
    for key, role in (
        ("bos", "bos_id"),
        ("eos", "eot_id"),
        ("eot", "end_of_turn_id"),
        ("padding", "pad_id"),
    ):
        try:
            fields[f"tokenizer.ggml.{key}_token_id"] = getattr(tokenizer, role)
        except UserError:  # a foreign tokenizer without that control token
            continue
    fields["tokenizer.ggml.add_bos_token"] = False
    return fields


def pattern_name(spec: Mapping[str, Any]) -> str | None:
    """llama-bpe or qwen2 when the pre-tokenizer splits by exactly that regex, else None."""
    from kotok.pattern import REGEX

    steps = (spec.get("pre_tokenizer") or {}).get("pretokenizers", [])
    found = [p.get("pattern", {}).get("Regex") for p in steps if p.get("type") == "Split"]
    return next((name for name, regex in REGEX.items() if found == [regex]), None)


def write_vocabulary(tokenizer: Tokenizer, path: Path) -> None:
    """A GGUF file with the vocabulary alone, as llama.cpp's `--vocab-only` opens it; the chat template goes in too."""
    fields = {"general.architecture": "llama", "general.type": "model", **vocabulary_fields(tokenizer)}
    template = tokenizer.config.get("chat_template")
    if isinstance(template, str):
        fields["tokenizer.chat_template"] = template
    with atomic_open(path, "wb") as handle:
        handle.write(metadata_only(fields))


# ---- reading ------------------------------------------------------------------------------------


def open_gguf(path: Path) -> Tokenizer:
    """The tokenizer inside a GGUF file: byte-level BPE ("gpt2") or sentencepiece BPE ("llama").

    Raises:
        UserError: no vocabulary, a kind or pre-tokenizer we do not know, lists that do not fit together.
    """
    return from_fields(read_fields(path), path)


def from_fields(fields: Mapping[str, Any], path: Path) -> Tokenizer:
    """`open_gguf` of metadata that was read already."""

    def bad(what: str) -> UserError:
        return UserError(
            f"GGUF 안의 토크나이저를 쓸 수 없습니다 (cannot use the tokenizer in this GGUF): {what}",
            "원래 모델 폴더를 주십시오 (give the model folder it was made from)",
            file=path,
        )

    tokens = fields.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(t, str) for t in tokens):
        raise bad("tokenizer.ggml.tokens")
    types = fields.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
    if not isinstance(types, list) or len(types) != len(tokens):
        raise bad("tokenizer.ggml.token_type")
    kind = fields.get("tokenizer.ggml.model")
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding")):
        i = fields.get(f"tokenizer.ggml.{key}_token_id")
        if i is None:
            continue
        if type(i) is not int or not 0 <= i < len(tokens):
            raise bad(f"tokenizer.ggml.{key}_token_id {i!r}")
        config[name] = tokens[i]
    if isinstance(fields.get("tokenizer.chat_template"), str):
        config["chat_template"] = fields["tokenizer.chat_template"]
    if kind == "llama":
        return _sentencepiece(fields, tokens, types, config, bad)
    if kind != "gpt2":
        raise bad(f"tokenizer.ggml.model {kind!r}")
    return _byte_level(fields, tokens, types, config, bad)


def pre_tokenizer(fields: Mapping[str, Any]) -> str:
    """Our name of the regex that a file's `tokenizer.ggml.pre` stands for; a file without it means Llama 3's."""
    pre = fields.get("tokenizer.ggml.pre", "llama-bpe")
    return _SAME.get(pre, pre) if isinstance(pre, str) else repr(pre)


def _byte_level(
    fields: Mapping[str, Any], tokens: list[str], types: list[int], config: dict[str, Any], bad: Any
) -> Tokenizer:
    from kotok.pattern import KNOWN

    pre = pre_tokenizer(fields)
    if pre not in KNOWN:
        raise bad(f"tokenizer.ggml.pre {pre!r}")
    vocabulary = {t: i for i, (t, kind) in enumerate(zip(tokens, types, strict=True)) if kind == NORMAL}
    if len(vocabulary) != types.count(NORMAL):
        raise bad("두 번 나온 토큰 (duplicate token)")
    merges = fields.get("tokenizer.ggml.merges")
    if not isinstance(merges, list) or not all(isinstance(m, str) for m in merges):
        raise bad("tokenizer.ggml.merges")
    pairs = [m.split(" ", 1) for m in merges]
    if any(len(p) != 2 or not {*p, "".join(p)} <= vocabulary.keys() for p in pairs):
        raise bad("tokenizer.ggml.merges")
    return Tokenizer(byte_level_spec(vocabulary, pairs, KNOWN[pre], _added(tokens, types)), config)


def _sentencepiece(
    fields: Mapping[str, Any], tokens: list[str], types: list[int], config: dict[str, Any], bad: Any
) -> Tokenizer:
    scores = fields.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise bad("tokenizer.ggml.scores")
    vocabulary = {t: i for i, (t, k) in enumerate(zip(tokens, types, strict=True)) if k not in (UNUSED,)}
    whole = {t for t, k in zip(tokens, types, strict=True) if k != NORMAL}
    merges = piece_merges(vocabulary, lambda i: -scores[i], whole)
    unknown = next((t for t, k in zip(tokens, types, strict=True) if k == UNKNOWN), None)
    space: list[dict[str, Any]] = [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    prefixed = bool(fields.get("tokenizer.ggml.add_space_prefix", True))
    if prefixed:
        space.insert(0, {"type": "Prepend", "prepend": "▁"})
    model = bpe_model(vocabulary, merges, unknown, BYTE in types)
    normalizer = {"type": "Sequence", "normalizers": space}
    return Tokenizer(metaspace_spec(model, _added(tokens, types), normalizer, None, strip=prefixed), config)


def _added(tokens: list[str], types: list[int]) -> list[dict[str, Any]]:
    return [
        added_token(i, text, kind in (CONTROL, UNKNOWN))
        for i, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (CONTROL, USER_DEFINED, UNKNOWN)
    ]
