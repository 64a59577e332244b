"""kobitnet export: the verb. A folder appears only after its check passed; a failed export leaves no model behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from kobitnet.engine.config import ModelConfig, model_folder, read_config
from kobitnet.engine.tensors import Tensors
from kobitnet.export.gguf_file import GgufType
from kodata.report import blocks
from kodata.run.errors import UsageError, UserError
from kodata.run.files import disk_error
from kodata.run.flags import Fresh, Output, Parameter
from kodata.run.folder import open_run
from kodata.run.result import Result

Target = Literal["hf-online", "hf-packed", "gguf"]
NAMES = {
    "hf-online": "잠재 가중치 그대로 (latents as trained)",
    "hf-packed": "2비트로 묶은 가중치 (packed 2-bit weights)",
    "gguf": "llama.cpp · bitnet.cpp 파일 (GGUF)",
}


def export(
    model: Annotated[Path, Parameter(help="run 폴더나 모델 폴더 (run or model folder)")],
    /,
    *,
    to: Annotated[Target, Parameter(help="hf-online | hf-packed | gguf")],
    output: Output,
    gguf_type: Annotated[
        GgufType,
        Parameter(
            help="gguf 가중치: auto TQ2_0 TQ1_0 F16 (llama.cpp), I2_S (bitnet.cpp) (weights of a gguf)"
        ),
    ] = "auto",
    fresh: Fresh = False,
) -> Result:
    """모델을 표준 파일로 내보내고 검사합니다 (export a model to standard files, checked)

    hf-online: the stock transformers folder with latents. hf-packed: the same with 2-bit weights (offline autobitlinear,
    fp32 scale), a quarter of a byte a weight. gguf: for llama.cpp (SiLU, tied) or bitnet.cpp (ReLU squared). The hf
    targets are opened by stock transformers in a process of its own and compared layer by layer before they get their name.
    """
    source = model_folder(model)
    if gguf_type != "auto" and to != "gguf":
        raise UsageError(
            f"--gguf-type 은 --to gguf 에만 씁니다 (only with --to gguf): {gguf_type}", help="--to gguf"
        )
    config = read_config(
        source,
        otherwise="b1.58 모델만 내보냅니다; 이 모델은 kobitnet generate 로 쓰세요 (only b1.58 is exported; kobitnet generate runs this model)",
    )
    if config.quant != "b1.58":
        raise UserError(
            f"b1.58 모델만 내보냅니다 (exports b1.58 only): {config.quant}",
            file=source / "config.json",
            help="이 모델은 kobitnet generate 로 쓰세요 (kobitnet generate runs this model)",
        )
    if config.weights != "online":
        raise UserError(
            f"잠재 가중치가 있는 모델이 필요합니다 (export needs latents, this folder is packed): {source}",
            help="학습이 만든 run 폴더를 주세요 (give the run folder made by training)",
        )
    Tensors(source).close()  # a damaged file is named here, not by a library that cannot open it
    with open_run(
        output,
        tool="kobitnet",
        verb="export",
        config={"to": to, "gguf_type": gguf_type},
        inputs=[source],
        fresh=fresh,
    ) as run:
        if run.done:
            return run.result()
        building = run.path / ".building"
        shutil.rmtree(building, ignore_errors=True)
        try:
            building.mkdir()
            check = _BUILDERS[to](source, config, building, gguf_type)
            for file in sorted(building.iterdir()):
                os.replace(file, run.path / file.name)
        except OSError as error:
            raise disk_error(error, run.path) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        size = sum(p.stat().st_size for p in run.path.iterdir() if p.suffix in (".safetensors", ".gguf"))
        summary = {"to": to, "model": str(source), "megabytes": round(size / 1e6, 3), "check": check}
        return run.finish(
            summary=summary,
            lines=[f"{to}: {NAMES[to]} · {size / 1e6:.1f} MB", f"검사 (check): {_told(check)}"],
            report=[blocks.facts(f"내보내기 (export) {to}", {"크기 (MB)": round(size / 1e6, 2), **check})],
        )


def _online(source: Path, config: ModelConfig, folder: Path, _: GgufType) -> dict[str, Any]:
    for file in sorted(source.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            shutil.copyfile(file, folder / file.name)
    return verify(source, folder)


def _packed(source: Path, config: ModelConfig, folder: Path, _: GgufType) -> dict[str, Any]:
    from kobitnet.export.packed import write_packed

    write_packed(source, config, folder)
    return verify(source, folder)


def _gguf(source: Path, config: ModelConfig, folder: Path, gguf_type: GgufType) -> dict[str, Any]:
    from kobitnet.export.gguf_file import write_gguf

    return write_gguf(source, config, folder, gguf_type)


_BUILDERS: dict[str, Callable[[Path, ModelConfig, Path, GgufType], dict[str, Any]]] = {
    "hf-online": _online,
    "hf-packed": _packed,
    "gguf": _gguf,
}


def verify(source: Path, folder: Path) -> dict[str, Any]:
    """Compare two model folders with stock transformers in a new process (kobitnet.export.check).

    Raises:
        UserError: the export is not the same model, or transformers cannot open it.
    """
    env = {**os.environ, "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(
        [sys.executable, "-m", "kobitnet.export.check", str(source.resolve()), str(folder.resolve())],
        capture_output=True,
        text=True,
        env=env,
    )
    try:
        result = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        tail = done.stderr.strip().splitlines()[-1:] or ["?"]
        raise UserError(
            f"transformers 로 열 수 없어 내보내지 않았습니다 (stock transformers cannot open the export): {tail[0]}",
            help="pip install 'kobitnet[train]'",
        ) from None
    if result["problems"]:
        raise UserError(
            f"검사에 떨어져 내보내지 않았습니다 (export failed its check): {'; '.join(result['problems'][:3])}",
            help="이 오류를 알려 주세요: 모델은 그대로입니다 (please report this; the model itself is untouched)",
        )
    del result["problems"]
    return result


def _told(check: dict[str, Any]) -> str:
    return " · ".join(f"{k} {v:.2e}" if isinstance(v, float) else f"{k} {v}" for k, v in check.items())
