"""Small random stock transformers BitNet folders for the engine's tests."""

import json
from pathlib import Path
from typing import Any

import torch

ONLINE = {
    "quant_method": "bitnet",
    "linear_class": "autobitlinear",
    "quantization_mode": "online",
    "modules_to_not_convert": ["lm_head"],
}


def make_model(folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32, **shape: Any) -> Path:
    """A random BitNetForCausalLM saved as latents with its quantization config."""
    from transformers import BitNetConfig, BitNetForCausalLM

    torch.manual_seed(seed)
    wanted = {
        "vocab_size": 320,
        "hidden_size": 128,
        "intermediate_size": 352,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "relu2",
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 317,
        "initializer_range": 0.05,
        **shape,
    }
    model = BitNetForCausalLM(BitNetConfig(**wanted))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1.0, 0.1)
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, 0.0, 0.1)
    model.to(dtype).save_pretrained(folder)
    edit_config(folder, quantization_config=ONLINE)
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    """Set keys of config.json; a value of None removes the key."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.update(changes)
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")


def stock_model(folder: Path) -> Any:
    """The folder as stock transformers opens it, fp32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
