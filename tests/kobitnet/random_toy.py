"""A random model folder with opinions: what the evaluation's tests ask questions."""

from pathlib import Path

import torch
from transformers import BitNetConfig

from kobitnet.checkpoint import WEIGHTS, save_settings, state_tensors, write_tensors
from kobitnet.model import build_model

from . import toy


def random_run(
    folder: Path,
    *,
    quant: str = "b1.58",
    groups: int = 1,
    stage: str = "pretrain",
    positions: int = 4096,
    seed: int = 0,
) -> Path:
    """folder/model: 320 ids (mostly bytes), 2 layers, embeddings wide enough that no two choices are a tie."""
    tokenizer = toy.tokenizer()
    config = BitNetConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eot_id,
    )
    model = build_model(config, quant, groups=groups, seed=seed)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(10)
    save_settings(folder / "model", model, tokenizer, quant=quant, groups=groups, stage=stage)
    write_tensors(folder / "model" / WEIGHTS, state_tensors(model))
    return folder
