"""tokenizer.json and its neighbours: the control tokens, what a file of ours holds, and how any such file is read."""

from __future__ import annotations

import json
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


def added_tokens(first: int) -> list[dict[str, Any]]:
    """tokenizer.json's `added_tokens` for our control tokens, ids from `first` on."""
    return [
        {
            "id": first + i,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, token in enumerate(CONTROL)
    ]


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
