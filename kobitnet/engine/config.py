"""config.json of a 1-bit or 1.58-bit model, checked: what the engine computes, and nothing else."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kodata.run.errors import UserError
from kodata.run.files import read_json_object

Weights = Literal["online", "multiply", "divide"]
Quant = Literal["b1.58", "b1", "b1-alpha", "group"]
QUANTISERS: dict[str, Quant] = {
    "bitnet": "b1.58",
    "kobitnet_b1": "b1",
    "kobitnet_b1_alpha": "b1-alpha",
    "kobitnet_group": "group",
}
"""How a model of each model_type was trained (kobitnet.quant), of those that the engine computes."""


@dataclass(kw_only=True, slots=True, frozen=True)
class ModelConfig:
    """Shapes and constants of one BitNetForCausalLM."""

    vocab: int
    hidden: int
    inter: int
    layers: int
    heads: int
    kv_heads: int
    max_len: int
    eps: float
    act: Literal["relu2", "silu"]
    theta: float
    tied: bool
    bias: bool
    """q, k, v and o have a bias (attention_bias)."""
    weights: Weights
    """online: latents. multiply: packed, y * weight_scale (autobitlinear). divide: packed, y / weight_scale (bitlinear)."""
    quant: Quant = "b1.58"
    groups: int = 1
    """Equal parts with scales of their own (quant group)."""

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def parameters(self) -> int:
        """Weights of the matrices; a tied head counts once."""
        kv = self.kv_heads * self.head_dim
        block = 2 * self.hidden * (self.hidden + kv) + 3 * self.hidden * self.inter
        return self.layers * block + self.vocab * self.hidden * (1 if self.tied else 2)

    def inv_freq(self) -> np.ndarray:
        """(head_dim / 2,) float32 rotary frequencies: the power in double rounded once, as close as torch's own."""
        exponent = np.arange(0, self.head_dim, 2, dtype=np.float32) / np.float32(self.head_dim)
        power = np.power(np.float64(np.float32(self.theta)), exponent.astype(np.float64)).astype(np.float32)
        return np.float32(1) / power


def model_folder(path: str | Path) -> Path:
    """The model folder behind a run folder or a model folder. Raises UserError when it is neither."""
    path = Path(path)
    for folder in (path / "model", path):
        if (folder / "config.json").is_file():
            return folder
    why = (
        "폴더가 없습니다 (no such folder)"
        if not path.exists()
        else "모델 폴더가 아닙니다 (no config.json, neither a run nor a model)"
    )
    raise UserError(
        f"{why}: {path}",
        help="kobitnet train 이 만든 폴더나 transformers 모델 폴더를 주세요 (give a run or model folder)",
    )


def weights_fingerprint(path: str | Path) -> str:
    """16 hex digits that name the weights (blake2b of the weight files): of a run or model folder, or of one file."""
    path = Path(path)
    files = [path] if path.is_file() else sorted(model_folder(path).glob("*.safetensors"))
    hasher = hashlib.blake2b(digest_size=16)
    for file in files:
        with open(file, "rb") as handle:
            while block := handle.read(1 << 22):
                hasher.update(block)
    return hasher.hexdigest()[:16]


def read_config(
    folder: Path, *, otherwise: str = "--backend torch 를 쓰세요 (use --backend torch)"
) -> ModelConfig:
    """Parse and check config.json; `otherwise` is what to do with a model that the engine does not compute.

    Raises:
        UserError: another architecture, a variant the engine does not compute, or a value out of range.
    """
    path = folder / "config.json"
    raw = read_json_object(path)
    quant = _quantiser(path, raw, otherwise)

    def whole(key: str, default: int | None = None, top: int = 1 << 31) -> int:
        value = raw.get(key)
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= top:
            raise UserError(f"잘못된 값 (bad value) {key}: {value!r}", file=path)
        return value

    heads, hidden = whole("num_attention_heads", 20, 4096), whole("hidden_size", 2560, 1 << 18)
    config = ModelConfig(
        vocab=whole("vocab_size", 128256, 1 << 24),
        hidden=hidden,
        inter=whole("intermediate_size", 6912, 1 << 18),
        layers=whole("num_hidden_layers", 30, 4096),
        heads=heads,
        kv_heads=whole("num_key_value_heads", heads, 4096),
        max_len=whole("max_position_embeddings", 2048, 1 << 24),
        eps=_number(path, raw, "rms_norm_eps", 1e-5),
        act=raw.get("hidden_act", "relu2"),
        theta=_theta(path, raw),
        tied=raw.get("tie_word_embeddings", False) is True,
        bias=raw.get("attention_bias", False) is True,
        weights=_weights(path, raw) if quant == "b1.58" else "online",
        quant=quant,
        groups=_groups(path, raw) if quant == "group" else 1,
    )
    if config.act not in ("relu2", "silu"):
        raise UserError(f"모르는 활성 함수 (unknown hidden_act): {config.act!r}", file=path)
    check_heads(config, path)
    if any(n % config.groups for n in (hidden, config.inter, config.kv_heads * config.head_dim)):
        raise UserError(f"묶음으로 나누어지지 않습니다 (groups do not divide): {config.groups}", file=path)
    if raw.get("head_dim") not in (None, hidden // heads):
        raise UserError(f"지원하지 않는 head_dim (unsupported head_dim): {raw['head_dim']!r}", file=path)
    return config


def check_heads(config: ModelConfig, path: Path) -> None:
    """Raises UserError when the heads do not divide the width."""
    hidden, heads = config.hidden, config.heads
    if hidden % heads or (hidden // heads) % 2 or heads % config.kv_heads:
        raise UserError(
            f"머리 수가 맞지 않습니다 (heads do not divide): hidden {hidden}, heads {heads}, kv {config.kv_heads}",
            file=path,
        )


def _number(path: Path, raw: dict[str, Any], key: str, default: float) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
        raise UserError(f"잘못된 값 (bad value) {key}: {value!r}", file=path)
    return float(value)


def _theta(path: Path, raw: dict[str, Any]) -> float:
    """rope_theta in either spelling: rope_parameters (transformers 5) or rope_theta with rope_scaling (4)."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise UserError(f"잘못된 값 (bad value) rope_parameters: {rope!r}", file=path)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise UserError(f"지원하지 않는 RoPE 종류 (unsupported rope_type): {kind!r}", file=path)
    source = rope if "rope_theta" in rope else raw
    return _number(path, source, "rope_theta", 500000.0)


def _weights(path: Path, raw: dict[str, Any]) -> Weights:
    quant = raw.get("quantization_config")
    if not isinstance(quant, dict) or quant.get("quant_method") != "bitnet":
        raise UserError(
            "quantization_config 가 없어 전체 정밀도 모델입니다 (no bitnet quantization_config: a full precision model)",
            file=path,
            help="학습 때의 설정 파일을 쓰세요 (use the config.json written by training)",
        )
    kept = quant.get("modules_to_not_convert")
    if kept is not None and kept != ["lm_head"]:
        raise UserError(
            f"lm_head 만 빼야 합니다 (modules_to_not_convert must be ['lm_head']): {kept!r}", file=path
        )
    if quant.get("use_rms_norm"):
        raise UserError("use_rms_norm 모델은 지원하지 않습니다 (use_rms_norm is not supported)", file=path)
    match quant.get("linear_class", "bitlinear"), quant.get("quantization_mode", "offline"):
        case "autobitlinear", "online":
            return "online"
        case "autobitlinear", "offline":
            return "multiply"
        case "bitlinear", "offline":
            return "divide"
        case other:
            raise UserError(
                f"모르는 양자화 방식 (unknown linear_class, quantization_mode): {other}", file=path
            )


def _quantiser(path: Path, raw: dict[str, Any], otherwise: str) -> Quant:
    """How the model was trained: model_type says it, and what our own training wrote beside it must agree."""
    kind, ours = raw.get("model_type"), raw.get("kobitnet", {})
    quant = QUANTISERS.get(kind) if isinstance(kind, str) else None
    written = ours.get("quant", "b1.58") if isinstance(ours, dict) else "b1.58"
    if quant is None or quant != written:
        raise UserError(
            f"엔진이 계산하지 않는 모델입니다 (not a model the engine computes): model_type {kind!r}, quant {written!r}",
            file=path,
            help=otherwise,
        )
    return quant


def _groups(path: Path, raw: dict[str, Any]) -> int:
    groups = raw["kobitnet"].get("groups")
    if type(groups) is not int or not 1 <= groups <= 1 << 18:
        raise UserError(f"잘못된 값 (bad value) kobitnet.groups: {groups!r}", file=path)
    return groups
