"""A tokenizer as GGUF metadata and back: what `vocab.gguf` holds, and how the vocabulary of any GGUF is opened.

The one definition of which fields a tokenizer becomes. The reader looks at metadata only and checks every count and length
before it uses it; it never maps tensors.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from kodata.run.errors import UserError
from kodata.run.files import atomic_open
from kotok.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
MAX_FIELDS, MAX_STRING, MAX_VALUES = 1 << 14, 1 << 24, 1 << 24
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY, _U32, _I32, _F32, _BOOL = 8, 9, 4, 5, 6, 7
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
        handle.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(fields)))
        for name, value in fields.items():
            handle.write(_string(name) + _value(value))


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _U32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if not value or isinstance(value[0], str):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_string, value))
    return struct.pack("<IIQ", _ARRAY, _I32, len(value)) + struct.pack(f"<{len(value)}i", *value)


# ---- reading ------------------------------------------------------------------------------------


def read_fields(path: Path) -> dict[str, Any]:
    """The metadata of a GGUF file. Raises UserError for everything that is not a whole, well-formed header."""
    with open(path, "rb") as handle:
        reader = _Reader(handle, path, path.stat().st_size)
        if reader.take(4) != b"GGUF":
            raise reader.broken("GGUF 파일이 아닙니다 (not a GGUF file)")
        version, _, count = reader.unpack("<I"), reader.unpack("<Q"), reader.unpack("<Q")
        if version not in (2, 3) or count > MAX_FIELDS:
            raise reader.broken(f"모르는 판이나 수 (unknown version {version}, {count} fields)")
        fields: dict[str, Any] = {}
        for _ in range(count):
            name = reader.string()
            fields[name] = reader.value(reader.unpack("<I"))
        return fields


class _Reader:
    def __init__(self, handle: BinaryIO, path: Path, size: int) -> None:
        self.handle, self.path, self.left, self.values = handle, path, size, 0

    def broken(self, what: str) -> UserError:
        return UserError(
            what, "파일이 깨졌습니다. 다시 받으십시오 (broken file: get it again)", file=self.path
        )

    def take(self, n: int) -> bytes:
        if n > self.left:
            raise self.broken("머리가 파일 밖을 가리킵니다 (header runs past the end)")
        self.left -= n
        return self.handle.read(n)

    def unpack(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        n = self.unpack("<Q")
        if n > MAX_STRING:
            raise self.broken(f"너무 긴 글 (string of {n} bytes)")
        try:
            return self.take(n).decode("utf-8")
        except UnicodeDecodeError:
            raise self.broken("UTF-8 이 아닌 글 (string is not UTF-8)") from None

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind in _SCALARS:
            return self.unpack(_SCALARS[kind])
        if kind != _ARRAY:
            raise self.broken(f"모르는 값의 종류 (unknown field type {kind})")
        inner, n = self.unpack("<I"), self.unpack("<Q")
        self.values += n
        if self.values > MAX_VALUES:
            raise self.broken(f"값이 너무 많습니다 (more than {MAX_VALUES} values)")
        if inner == _STRING:
            return [self.string() for _ in range(n)]
        if inner not in _SCALARS:
            raise self.broken(f"모르는 배열 (unknown array of type {inner})")
        code = _SCALARS[inner].lstrip("<")
        return list(struct.unpack(f"<{n}{code}", self.take(n * struct.calcsize("<" + code))))


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
    from kotok.foreign import patterns

    pre = pre_tokenizer(fields)
    if pre not in patterns():
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
    return Tokenizer(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": _added(tokens, types),
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": {"Regex": patterns()[pre]},
                        "behavior": "Isolated",
                        "invert": False,
                    },
                    {
                        "type": "ByteLevel",
                        "add_prefix_space": False,
                        "trim_offsets": True,
                        "use_regex": False,
                    },
                ],
            },
            "post_processor": None,
            "decoder": {
                "type": "ByteLevel",
                "add_prefix_space": True,
                "trim_offsets": True,
                "use_regex": True,
            },
            "model": _bpe(vocabulary, pairs, None, False),
        },
        config,
    )


def _sentencepiece(
    fields: Mapping[str, Any], tokens: list[str], types: list[int], config: dict[str, Any], bad: Any
) -> Tokenizer:
    scores = fields.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise bad("tokenizer.ggml.scores")
    vocabulary = {t: i for i, (t, k) in enumerate(zip(tokens, types, strict=True)) if k not in (UNUSED,)}
    merges = []
    for piece, i in vocabulary.items():
        if types[i] == NORMAL and len(piece) > 1:
            merges += [
                (-scores[i], vocabulary[piece[:k]], vocabulary[piece[k:]], piece[:k], piece[k:])
                for k in range(1, len(piece))
                if piece[:k] in vocabulary and piece[k:] in vocabulary
            ]
    unknown = next((t for t, k in zip(tokens, types, strict=True) if k == UNKNOWN), None)
    space = [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    strip: list[dict[str, Any]] = []
    if fields.get("tokenizer.ggml.add_space_prefix", True):
        space.insert(0, {"type": "Prepend", "prepend": "▁"})
        strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    return Tokenizer(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": _added(tokens, types),
            "normalizer": {"type": "Sequence", "normalizers": space},
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": {
                "type": "Sequence",
                "decoders": [
                    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                    {"type": "ByteFallback"},
                    {"type": "Fuse"},
                    *strip,
                ],
            },
            "model": _bpe(
                vocabulary, [[a, b] for *_, a, b in sorted(merges)], unknown, any(k == BYTE for k in types)
            ),
        },
        config,
    )


def _bpe(
    vocabulary: dict[str, int], merges: list[list[str]], unk: str | None, fallback: bool
) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unk,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": fallback,
        "byte_fallback": fallback,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": merges,
    }


def _added(tokens: list[str], types: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind in (CONTROL, UNKNOWN),
        }
        for i, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (CONTROL, USER_DEFINED, UNKNOWN)
    ]
