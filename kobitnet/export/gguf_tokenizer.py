"""The tokenizer of a model folder as GGUF metadata (kobitnet.engine.gguf_tokenizer reads it back)."""

from pathlib import Path
from typing import Any

from kobitnet.chat_template import chat_template, without_generation
from kobitnet.engine.gguf_tokenizer import CONTROL, NORMAL, UNUSED, USER_DEFINED
from kodata.run.errors import UserError
from kodata.run.files import read_json_object


def tokenizer_fields(folder: Path, vocab: int) -> dict[str, Any]:
    """GGUF metadata of the tokenizer in a model folder; ids the tokenizer does not use become unused tokens.

    Raises:
        UserError: no tokenizer.json, not a byte-level BPE, an unknown pre-tokenizer, or more tokens than the model has.
    """
    from kotok.tokenizer import load

    tokenizer = load(folder)
    spec = read_json_object(folder / "tokenizer.json")
    model = spec.get("model") or {}
    pre = _pattern_name(spec)
    if model.get("type") != "BPE" or pre is None:
        raise UserError(
            "GGUF 로 담을 수 없는 토크나이저 (GGUF needs a byte-level BPE that llama.cpp knows: llama-bpe, qwen2)",
            file=folder,
            help="--to hf-packed",
        )
    if tokenizer.vocab_size > vocab:
        raise UserError(
            f"토크나이저가 모델보다 큽니다 (tokenizer {tokenizer.vocab_size} > model {vocab})", file=folder
        )
    tokens = [f"[PAD{i}]" for i in range(vocab)]
    types = [UNUSED] * vocab
    for text, i in model["vocab"].items():
        tokens[i], types[i] = text, NORMAL
    for added in spec.get("added_tokens") or []:
        tokens[added["id"]], types[added["id"]] = (
            added["content"],
            CONTROL if added.get("special") else USER_DEFINED,
        )
    merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges") or []]
    fields: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": tokenizer.bos_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eot_id,
        "tokenizer.ggml.eot_token_id": tokenizer.end_of_turn_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": False,
    }
    template = chat_template(folder)
    if template is not None:
        fields["tokenizer.chat_template"] = without_generation(template)
    return {k: v for k, v in fields.items() if v is not None}


def _pattern_name(spec: dict[str, Any]) -> str | None:
    """llama-bpe or qwen2 when the pre-tokenizer splits by exactly that regex."""
    from kotok.pattern import REGEX

    found = [
        p.get("pattern", {}).get("Regex")
        for p in (spec.get("pre_tokenizer") or {}).get("pretokenizers", [])
        if p.get("type") == "Split"
    ]
    return next((name for name, regex in REGEX.items() if found == [regex]), None)
