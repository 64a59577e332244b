"""tokenizer.json and its neighbours: the control tokens, what a file of ours holds, and how any such file is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from typing import Any

from kotok.bpe import Merge
from kotok.pattern import REGEX, from_printable, printable

BOS, EOT, END_OF_TURN, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|pad|>"
CONTROL = [
    BOS,
    EOT,
    END_OF_TURN,
    PAD,
    "<|im_start|>",
    "<|im_end|>",
    *(f"<|reserved_{i}|>" for i in range(10)),
]
"""Control tokens of a new tokenizer, at the end of its ids: 16, ten of them for later use."""
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def added_token(i: int, content: str, special: bool = True) -> dict[str, Any]:
    """One entry of tokenizer.json's `added_tokens`."""
    return {
        "id": i,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def added_tokens(first: int) -> list[dict[str, Any]]:
    """tokenizer.json's `added_tokens` for our control tokens, ids from `first` on."""
    return [added_token(first + i, token) for i, token in enumerate(CONTROL)]


def bpe_model(
    vocab: dict[str, int], merges: list[list[str]], unknown: str | None = None, byte_fallback: bool = False
) -> dict[str, Any]:
    """tokenizer.json's `model` of a BPE; merges are pairs of vocabulary strings, first rank first."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": byte_fallback,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }


def byte_level_spec(
    vocab: dict[str, int], merges: list[list[str]], regex: str, added: list[dict[str, Any]]
) -> dict[str, Any]:
    """A whole tokenizer.json of byte-level BPE: split by `regex`, then merges over the byte alphabet."""
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes_only]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": bpe_model(vocab, merges),
    }


def metaspace_spec(
    model: dict[str, Any],
    added: list[dict[str, Any]],
    normalizer: dict[str, Any],
    pre_tokenizer: dict[str, Any] | None,
    strip: bool = False,
) -> dict[str, Any]:
    """A whole tokenizer.json of sentencepiece pieces: U+2581 for the space, bytes where no piece fits.

    strip: the normaliser put a space before the text, decoding takes it away.
    """
    first = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if strip else []
    space = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [space, {"type": "ByteFallback"}, {"type": "Fuse"}, *first],
        },
        "model": model,
    }


def piece_merges(
    vocab: dict[str, int], rank: Callable[[int], float], whole: Container[str] = ()
) -> list[list[str]]:
    """Merges that rebuild sentencepiece BPE: a pair merges when its joined piece exists, at that piece's `rank(id)`.

    whole: pieces that no merge makes.
    """
    merges = []
    for piece, i in vocab.items():
        if len(piece) < 2 or piece in whole:
            continue
        for k in range(1, len(piece)):
            left, right = piece[:k], piece[k:]
            if left in vocab and right in vocab:
                merges.append((rank(i), vocab[left], vocab[right], left, right))
    return [[left, right] for *_, left, right in sorted(merges)]


def standard_config() -> dict[str, Any]:
    """tokenizer_config.json of a tokenizer of ours, chat template left out."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOT,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
    }


def vocabulary(spec: dict[str, Any]) -> dict[str, int]:
    vocab = spec["model"]["vocab"]
    if isinstance(vocab, list):  # unigram: [piece, score] by id
        return {piece: i for i, (piece, _) in enumerate(vocab)}
    return dict(vocab)


def split_regex(spec: dict[str, Any]) -> str | None:
    steps = (spec.get("pre_tokenizer") or {}).get("pretokenizers") or []
    if [s.get("type") for s in steps] != ["Split", "ByteLevel"]:
        return None
    split, level = steps
    plain = split.get("behavior") == "Isolated" and not split.get("invert")
    if not plain or level.get("add_prefix_space") or level.get("use_regex", True):
        return None
    return split["pattern"].get("Regex")


def our_merges(spec: dict[str, Any]) -> list[Merge] | None:
    """Merges by id when this is plain byte-level BPE of a known pattern with bytes as ids 0..255, else None."""
    model = spec["model"]
    steps = [
        model.get(k)
        for k in (
            "dropout",
            "continuing_subword_prefix",
            "end_of_word_suffix",
            "ignore_merges",
            "byte_fallback",
        )
    ]
    if (
        model.get("type") != "BPE"
        or any(steps)
        or spec.get("normalizer")
        or split_regex(spec) not in REGEX.values()
    ):
        return None
    if any(not t.get("special") for t in spec.get("added_tokens") or []):
        return None
    vocab = model["vocab"]
    if any(vocab.get(printable(bytes([b]))) != b for b in range(256)):
        return None
    merges: list[Merge] = []
    known = 256
    for item in model["merges"]:
        left, right = item.split(" ", 1) if isinstance(item, str) else item
        merge = (vocab[left], vocab[right], vocab[left + right])
        if max(merge[:2]) >= known or merge[2] > known:
            return None  # not in the order native code wants: `tokenizers` serves
        known += merge[2] == known
        merges.append(merge)
    return merges if known == len(vocab) else None


def piece_decoder(spec: dict[str, Any]) -> Any:
    """How a piece of the vocabulary becomes bytes."""
    decoder = json.dumps(spec.get("decoder"))
    if "ByteLevel" in decoder:

        def byte_level(piece: str) -> bytes:
            try:
                return from_printable(piece)
            except KeyError:
                return piece.encode()

        return byte_level
    if '"WordPiece"' in decoder:
        return lambda piece: piece[2:].encode() if piece.startswith("##") else piece.encode()

    def metaspace(piece: str) -> bytes:
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return piece.replace("▁", " ").encode()

    return metaspace
