"""The tokenizer of a model folder as GGUF metadata (kobitnet.engine.gguf_tokenizer reads it back)."""

from pathlib import Path
from typing import Any

from kobitnet.chat_template import chat_template, without_generation
from kodata.run.errors import UserError


def tokenizer_fields(folder: Path, vocab: int) -> dict[str, Any]:
    """GGUF metadata of the tokenizer in a model folder; ids the tokenizer does not use become unused tokens.

    Raises:
        UserError: no tokenizer.json, not a byte-level BPE, an unknown pre-tokenizer, or more tokens than the model has.
    """
    from kotok.gguf import vocabulary_fields
    from kotok.tokenizer import load

    tokenizer = load(folder)
    try:
        fields = vocabulary_fields(tokenizer, vocab)
    except UserError as error:
        raise UserError(str(error), file=folder, help="--to hf-packed" if error.help else "") from None
    for role in ("bos_id", "eot_id", "end_of_turn_id", "pad_id"):
        getattr(
            tokenizer, role
        )  # a model that generates needs them all; raises naming the one that is missing
    template = chat_template(folder)
    if template is not None:
        fields["tokenizer.chat_template"] = without_generation(template)
    return fields
