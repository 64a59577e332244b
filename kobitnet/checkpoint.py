"""Models on disk: run/model/ is the latest model as a stock transformers folder, tokenizer inside.

A b1.58 model is `model_type: bitnet` with its quantization config, so that AutoModelForCausalLM gives our logits. Every other
variant (--quant none too) is `model_type: kobitnet_<quant>`: stock loading refuses it instead of computing something else.
Nothing here reads pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from kobitnet.config_json import bad_config, check_types
from kobitnet.model import Model, build_model
from kobitnet.quant import QUANTS
from kobitnet.sharding import fill
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, disk_error, read_json_object

if TYPE_CHECKING:
    from kotok.tokenizer import Tokenizer

WEIGHTS = "model.safetensors"
QUANTIZATION_CONFIG = {
    "quant_method": "bitnet",
    "linear_class": "autobitlinear",
    "quantization_mode": "online",
    "modules_to_not_convert": ["lm_head"],
}


# ---- the model folder ---------------------------------------------------------------------------


def model_type(quant: str) -> str:
    """`bitnet` for b1.58, else a name no transformers knows, such as kobitnet_b1_alpha."""
    return "bitnet" if quant == "b1.58" else "kobitnet_" + quant.replace("-", "_").replace(".", "_")


MASKED = "kobitnet_mlm"
"""`model_type` of a bidirectional model, whatever its quantiser."""


def state_tensors(model: Model) -> dict[str, Tensor]:
    """Latent weights by their transformers names; a tied head is stored once, as transformers does."""
    tensors = {name: p.detach() for name, p in model.named_parameters()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    return tensors


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write a new safetensors file through to the disk; returns the blake2b digest of its bytes."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})
    except SafetensorError as error:  # it wraps the OS error in text
        full = "No space left" in str(error) or "os error 28" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from None
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
    return digest(path)


def digest(path: Path) -> str:
    """blake2b of a file's bytes, 32 hex digits."""
    hasher = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as handle:
        while block := handle.read(1 << 22):
            hasher.update(block)
    return hasher.hexdigest()


def save_settings(
    folder: Path,
    model: Model,
    tokenizer: Tokenizer,
    *,
    quant: str,
    groups: int,
    stage: str,
    training: dict[str, Any] | None = None,
) -> None:
    """Everything of a model folder but the weights: config.json, generation_config.json and the tokenizer.

    `stage` is pretrain, sft, dpo or mlm; `kobitnet generate` uses the chat template after pretraining only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    config = json.loads(model.config.to_json_string(use_diff=False))
    for key in ("_attn_implementation", "_name_or_path", "quantization_config"):
        config.pop(key, None)
    config["architectures"] = ["BitNetForCausalLM"]
    config["model_type"] = MASKED if stage == "mlm" else model_type(quant)
    config["dtype"] = "float32"
    if config["model_type"] == "bitnet":
        config["quantization_config"] = QUANTIZATION_CONFIG
    config["kobitnet"] = {
        "quant": quant,
        "groups": groups,
        "stage": stage,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        **(training or {}),
    }
    atomic_json(
        folder / "generation_config.json",
        {
            "eos_token_id": [tokenizer.eot_id, tokenizer.end_of_turn_id],
            "pad_token_id": tokenizer.pad_id,
            "do_sample": False,
        },
    )
    atomic_json(folder / "config.json", config)


def place_weights(source: Path, folder: Path) -> None:
    """Make folder/model.safetensors be `source`, atomically: a hard link, or a copy where links do not work."""
    target = folder / WEIGHTS
    temporary = folder / f".{WEIGHTS}.tmp"
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(error, target) from error


def model_folder(path: str | Path) -> Path:
    """The model folder behind a run folder or a model folder.

    Raises:
        UserError: neither of both, or a run that has no model yet.
    """
    path = Path(path)
    for folder in (path / "model", path):
        if (folder / "config.json").is_file():
            if not (folder / WEIGHTS).is_file():
                raise UserError(
                    f"가중치가 없습니다 (no {WEIGHTS}): {folder}",
                    help="학습을 먼저 끝내거나 이어서 하세요: 같은 kobitnet train 명령 (finish training: the same command again)",
                )
            return folder
    why = (
        "폴더가 없습니다 (no such folder)"
        if not path.exists()
        else "모델 폴더가 아닙니다 (no config.json, neither a run nor a model)"
    )
    raise UserError(
        f"{why}: {path}",
        help="kobitnet train SHARDS -o run/ 로 만든 폴더를 주세요 (give a folder made by kobitnet train)",
    )


def read_config(folder: Path) -> tuple[Any, dict[str, Any]]:
    """(BitNetConfig, our facts {quant, groups, stage, …}) of a model folder.

    Raises:
        UserError: a model we cannot compute exactly: another architecture, packed weights, a bitnet config without
            its quantization config (transformers would silently run it in full precision).
    """
    from transformers import BitNetConfig

    file = folder / "config.json"
    raw = read_json_object(file)
    check_types(file, raw)
    kind = raw.pop("model_type", None)
    ours = raw.pop("kobitnet", None) or {}
    quantization = raw.pop("quantization_config", None)
    if kind == "bitnet":
        quant = "b1.58"
        if quantization is None:
            raise UserError(
                f"quantization_config 가 없는 bitnet 모델입니다 (bitnet model without quantization_config): {folder}",
                help="그대로 열면 1.58비트가 아닌 모델이 됩니다. 원본 config.json을 쓰세요 (use the original config.json)",
            )
        mode = (quantization.get("linear_class"), quantization.get("quantization_mode"))
        if mode != ("autobitlinear", "online"):
            raise UserError(
                f"포장된 가중치입니다 (packed weights, {mode[0]} {mode[1]}): {folder}",
                help="--backend engine 으로 여세요; torch는 잠재 가중치가 필요합니다 (open it with --backend engine)",
            )
    else:
        quant = str(ours.get("quant"))
        if quant not in QUANTS or kind not in (model_type(quant), MASKED):
            raise UserError(
                f"BitNet 모델이 아닙니다 (not a BitNet model, model_type {kind!r}): {folder / 'config.json'}",
                help="kobitnet convert 로 바꾸거나 kobitnet train 의 결과를 주세요 (convert it, or give a run of kobitnet train)",
            )
    for key in ("architectures", "dtype", "torch_dtype", "transformers_version", "auto_map"):
        raw.pop(key, None)
    try:
        config = BitNetConfig(**raw)
    except Exception as error:  # transformers' own checks of types raise their own kinds of errors
        raise bad_config(file, str(error).strip().splitlines()[-1].strip()) from None
    return config, {"groups": 1, "stage": "pretrain", **ours, "quant": quant}


def load_model(path: str | Path, *, masked: bool = False) -> tuple[Model, Tokenizer]:
    """(model in fp32 and eval mode, tokenizer) of a run folder or a model folder. `model.kobitnet` holds our facts.

    `masked` asks for a bidirectional model (`kobitnet train --objective mlm`), which nothing causal may be done with.

    Raises:
        UserError: what `model_folder` and `read_config` raise; weights that are damaged, missing or of another shape; a
            causal model where a masked one is asked for, or the other way round.
    """
    from kotok.tokenizer import load

    folder = model_folder(path)
    config, facts = read_config(folder)
    if masked != (facts["stage"] == "mlm"):
        kind = "인과 (causal)" if masked else "빈칸 채우기 (masked, bidirectional)"
        raise UserError(
            f"{kind} 모델입니다 (is a {'causal' if masked else 'masked'} model): {folder}",
            help="kobitnet train --objective clm|mlm 의 결과를 맞게 고르세요 (take a run of the other objective)",
        )
    model = build_model(config, facts["quant"], groups=int(facts["groups"]), seed=None)
    load_weights(model, folder / WEIGHTS)
    model.kobitnet = facts
    tokenizer = load(folder)
    if tokenizer.vocab_size != config.vocab_size:
        raise UserError(
            f"모델 어휘 {config.vocab_size}, 토크나이저 어휘 {tokenizer.vocab_size} (vocabularies differ): {folder}",
            help="모델 폴더의 토크나이저 파일을 바꾸지 마세요 (the tokenizer files in the model folder were changed)",
        )
    return model.eval(), tokenizer


def load_weights(model: Model, path: Path) -> None:
    """Copy a safetensors file into the model's parameters, checking names and shapes."""
    tensors = read_tensors(path)
    expected = state_tensors(model)
    missing, extra = (
        sorted(expected.keys() - tensors.keys()),
        sorted(tensors.keys() - expected.keys() - {"lm_head.weight"}),
    )
    wrong = [n for n in expected.keys() & tensors.keys() if expected[n].shape != tensors[n].shape]
    if missing or extra or wrong:
        raise UserError(
            f"가중치가 config.json과 다릅니다 (weights do not fit config.json; missing {missing[:2]}, extra {extra[:2]}, shape {wrong[:2]})",
            help="모델 폴더 전체를 다시 복사하세요 (copy the whole model folder again)",
            file=path,
        )
    for name, tensor in expected.items():
        fill(tensor, tensors[name])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises UserError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"가중치 파일을 읽을 수 없습니다 (damaged or missing weights): {error}",
            file=path,
            help="다시 복사하거나 앞선 체크포인트를 쓰세요 (copy it again or use an earlier checkpoint)",
        ) from None


def weights_fingerprint(path: str | Path) -> str:
    """16 hex digits that name the weights of a run or model folder (blake2b of model.safetensors)."""
    return digest(model_folder(path) / WEIGHTS)[:16]
