"""From exceptions to the two lines a user reads: usage mistakes, foreign habits, missing extras, full disks."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import exceptions as cx

from kodata.run.errors import UsageError, UserError, did_you_mean
from kodata.run.recipe import Recipe

# What users of transformers' example scripts and of TRL type by habit, and what it is called here.
HABITS = {
    "model_name_or_path": "--from RUN",
    "model_name": "--from RUN",
    "tokenizer_name": "kotok encode … --tok TOK",
    "train_file": "첫 인자 SHARDS (the first argument)",
    "validation_file": "kotok encode … --val 0.01",
    "dataset_name": "kodata clean hf:OWNER/NAME",
    "output_dir": "-o OUT",
    "overwrite_output_dir": "--fresh",
    "num_train_epochs": "--epochs N",
    "max_steps": "--steps N",
    "per_device_train_batch_size": "--batch-size N",
    "gradient_accumulation_steps": "--accumulate N",
    "learning_rate": "--lr X",
    "weight_decay": "--optim.weight-decay X",
    "warmup_ratio": "--optim.warmup X",
    "warmup_steps": "--optim.warmup N",
    "lr_scheduler_type": "--optim.schedule NAME",
    "max_seq_length": "--seq-len N",
    "max_length": "--seq-len N",
    "block_size": "--seq-len N",
    "save_steps": "--save-every N",
    "logging_steps": "--log-every N",
    "fp16": "--precision bf16",
    "bf16": "--precision bf16",
    "report_to": "report.html",
    "preprocessing_num_workers": "--workers N",
    "dataloader_num_workers": "--workers N",
    "vocab_size": "--vocab-size N",
    "max_new_tokens": "--max-new-tokens N",
    "do_sample": "--temperature X",
}
EXTRAS = {
    "torch": "train", "transformers": "train", "accelerate": "train", "safetensors": "train",
    "ray": "ray", "trl": "test", "hypothesis": "test", "pytest": "test", "gguf": "train",
    "starlette": "serve", "uvicorn": "serve",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One command line: the tool it went to, the tool's verbs, its words and the recipe it named."""

    tool: str
    verbs: Sequence[str]
    argv: Sequence[str]
    recipe: Recipe | None

    @property
    def verb(self) -> str:
        return next((a for a in self.argv if a in self.verbs), "")


def explain(error: Exception, call: Call) -> UserError | None:
    """The user's view of an exception, or None when it is a bug and its traceback should be seen."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, cx.CycloptsError):
        return _usage(error, call)
    if isinstance(error, ModuleNotFoundError | ImportError):
        return _missing_module(error)
    if isinstance(error, MemoryError):
        return UserError(
            "메모리가 모자랍니다 (out of memory)",
            "--workers 나 배치를 줄이십시오 (use fewer --workers or a smaller batch)",
        )
    if isinstance(error, OSError) and error.errno in (28, 122):
        from kodata.run.files import disk_error

        return disk_error(error, Path(error.filename or "."))
    return None


def _usage(error: cx.CycloptsError, call: Call) -> UserError:
    cause = error.__cause__
    if isinstance(cause, UserError):
        return cause
    verb, recipe = call.verb, call.recipe
    help_command = " ".join(filter(None, [call.tool, verb, "--help"]))
    way_out = f"`{help_command}` 를 보십시오 (see it)"
    token = getattr(error, "token", None)
    from_recipe = recipe is not None and token is not None and token.source == str(recipe.path)
    if isinstance(error, cx.UnknownOptionError) and token is not None:
        name = _option_name(token.keyword or token.value, verb)
        known = sorted(
            {n.lstrip("-") for a in error.argument_collection for n in a.names if n.startswith("--")}
        )
        near = did_you_mean(name, known)
        hint = _habit(name) or (near if from_recipe else near.replace("혹시 ", "혹시 --")) or way_out
        if from_recipe:
            assert recipe is not None
            return recipe.error(_recipe_keys(call, token.keyword), f"모르는 키 (unknown key): {name}", hint)
        return UsageError(f"모르는 옵션 (unknown option): --{name}", hint)
    if isinstance(error, cx.CoercionError):
        argument = error.argument.name if error.argument is not None else ""
        value = token.value if token is not None else ""
        kind = _type_name(error)
        if from_recipe:
            assert recipe is not None and token is not None
            return recipe.error(
                _recipe_keys(call, token.keyword),
                f"값이 맞지 않습니다 (bad value): {argument.lstrip('-')}: {value!r}, {kind}",
                way_out,
            )
        return UsageError(f"값이 맞지 않습니다 (bad value): {argument} {value!r}, {kind}", way_out)
    if isinstance(error, cx.MissingArgumentError):
        name = error.argument.name if error.argument is not None else error.keyword or ""
        typed = [_habit(a.lstrip("-").split("=")[0]) for a in call.argv if a.startswith("--")]
        return UsageError(f"빠진 인자 (missing argument): {name}", next(filter(None, typed), way_out))
    if isinstance(error, cx.UnknownCommandError):
        word = next((a for a in call.argv if not a.startswith("-")), "")
        return UsageError(
            f"모르는 동사 (unknown verb): {word}", did_you_mean(word, list(call.verbs)) or way_out
        )
    text = " ".join(re.sub(r"[╭╮╰╯│─]", " ", str(error)).split())
    return UsageError(f"명령을 읽지 못했습니다 (cannot read the command): {text}", way_out)


def _habit(name: str) -> str:
    """What a flag of other toolkits is called here, or an empty string."""
    ours = HABITS.get(name.replace("-", "_"))
    return f"{name} 은 여기서 (here): {ours}" if ours and ours.split()[0].lstrip("-") != name else ""


def _option_name(keyword: str, verb: str) -> str:
    """ "[train][optim][lrr]" or "--optim.lrr" as "optim.lrr"."""
    if keyword.startswith("["):
        keys = re.findall(r"\[([^\]]*)\]", keyword)
        return ".".join(keys[1:] if keys and keys[0] == verb else keys)
    return keyword.lstrip("-").split("=")[0]


def _recipe_keys(call: Call, keyword: str | None) -> tuple[str, ...]:
    return (call.tool, call.verb, *_option_name(keyword or "", call.verb).split("."))


def _type_name(error: Any) -> str:
    import typing

    kind = error.target_type
    if typing.get_origin(kind) is typing.Literal:
        return "가능한 값 (one of): " + ", ".join(map(str, typing.get_args(kind)))
    names = {
        int: "정수 (an integer)",
        float: "수 (a number)",
        bool: "참/거짓 (true or false)",
        Path: "경로 (a path)",
    }
    if kind in names:
        return names[kind] + " 이어야 합니다 (expected)"
    return str(error.msg or getattr(kind, "__name__", kind))


def _missing_module(error: ImportError) -> UserError | None:
    cause: BaseException | None = error
    while cause is not None:
        name = (getattr(cause, "name", None) or "").split(".")[0]
        if isinstance(cause, ModuleNotFoundError) and name and name not in ("kodata", "kotok", "kobitnet"):
            extra = EXTRAS.get(name)
            what = f"'kobitnet[{extra}]'" if extra else name
            return UserError(
                f"설치되지 않은 라이브러리 (library not installed): {name}", f"pip install {what}"
            )
        cause = cause.__cause__ or cause.__context__
    return None
