"""hf-packed: 2-bit weights as transformers packs them, offline autobitlinear, fp32 scales."""

import json
import shutil
from pathlib import Path

import numpy as np

from kobitnet.engine.config import ModelConfig
from kobitnet.engine.latents import latent_codes
from kobitnet.engine.load import linear_shapes, tensor_name
from kobitnet.engine.reference import pack_hf
from kobitnet.engine.tensors import Tensors
from kodata.run.errors import UserError
from kodata.run.files import atomic_json, read_json_object

# modules_to_not_convert replaces transformers' default list, so it must name lm_head
QUANTIZATION = {
    "quant_method": "bitnet",
    "linear_class": "autobitlinear",
    "quantization_mode": "offline",
    "modules_to_not_convert": ["lm_head"],
}


def write_packed(source: Path, config: ModelConfig, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer files of `source` into `folder`, weights packed.

    Codes and scales are those of training on one thread, bit for bit. Raises UserError for a row count that
    transformers cannot pack (not a multiple of 4).
    """
    from safetensors.numpy import save_file

    linears = {
        tensor_name(layer, name): shape
        for layer in range(config.layers)
        for name, shape in linear_shapes(config).items()
    }
    odd = sorted({rows for rows, _ in linears.values() if rows % 4})
    if odd:
        raise UserError(
            f"행 수가 4의 배수가 아니라 묶을 수 없습니다 (rows not a multiple of 4): {odd}",
            help="--to hf-online",
        )
    tensors = Tensors(source)
    out: dict[str, np.ndarray] = {}
    try:
        for name in tensors.entries:
            if config.tied and name == "lm_head.weight":
                continue
            values = tensors.floats(name)
            module = name.removesuffix(".weight")
            if module in linears:
                codes, scale = latent_codes(values, name)
                out[name] = pack_hf(codes)
                out[f"{module}.weight_scale"] = np.array([scale], np.float32)
            else:
                out[name] = values
            tensors.release(name)
    finally:
        tensors.close()
    path = folder / "model.safetensors"
    save_file(out, path, metadata={"format": "pt"})
    shutil.copymode(source / "config.json", path)  # the library writes 0600
    settings = read_json_object(source / "config.json")
    settings["quantization_config"] = QUANTIZATION
    settings["dtype"] = "float32"
    settings.pop("torch_dtype", None)
    atomic_json(folder / "config.json", json.loads(json.dumps(settings)))
    copy_companions(source, folder)


def copy_companions(source: Path, folder: Path) -> None:
    """Tokenizer, chat template and generation settings: every small file that is not weights or config."""
    for file in sorted(source.iterdir()):
        weights = (
            file.suffix in (".safetensors", ".bin", ".gguf") or file.name == "model.safetensors.index.json"
        )
        if file.is_file() and not weights and file.name != "config.json" and not file.name.startswith("."):
            shutil.copyfile(file, folder / file.name)
