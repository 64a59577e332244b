"""The values of a model's config.json that torch computes with, checked before transformers sees them."""

from pathlib import Path
from typing import Any

from kodata.run.errors import UserError

SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)


def check_types(file: Path, raw: dict[str, Any]) -> None:
    """Refuse values of another kind than we compute with, by a UserError that names config.json."""
    for name in SIZES:
        value = raw.get(name)
        if value is not None and (type(value) is not int or not 1 <= value < 1 << 31):
            raise bad_config(file, f"{name}: {value!r}")
    for name in ("kobitnet", "quantization_config"):
        if not isinstance(raw.get(name) or {}, dict):
            raise bad_config(file, f"{name}: {raw[name]!r}")
    groups = (raw.get("kobitnet") or {}).get("groups", 1)
    if type(groups) is not int or groups < 1:
        raise bad_config(file, f"kobitnet.groups: {groups!r}")
    hidden, heads = raw.get("hidden_size"), raw.get("num_attention_heads")
    if hidden and heads and (hidden % heads or heads % (raw.get("num_key_value_heads") or heads)):
        raise bad_config(file, f"hidden_size {hidden}, num_attention_heads {heads}")
    act = raw.get("hidden_act", "relu2")
    if act not in ("relu2", "silu"):
        raise bad_config(file, f"hidden_act: {act!r}")
    for name in ("rms_norm_eps", "rope_theta", "initializer_range", "attention_dropout"):
        value = raw.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise bad_config(file, f"{name}: {value!r}")


def bad_config(file: Path, what: str) -> UserError:
    return UserError(
        f"잘못된 값 (bad value) {what}",
        file=file,
        help="학습이 쓴 원본 config.json을 쓰세요 (use the config.json written by training)",
    )
