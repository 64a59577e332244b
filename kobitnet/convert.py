"""kobitnet convert: a Llama-layout decoder of Hugging Face as the starting point of a BitNet.

The weights become latents that are quantised while training and running, and a new norm of gain 1 stands before o_proj and
down_proj (SubLN, BitDistill 2510.13998 section 3.1). What comes out computes something else than the original: it wants
training (`kobitnet train --from`, recipes/distill). What does not fit into the stock BitNet architecture is refused.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from kobitnet.checkpoint import WEIGHTS, save_settings, state_tensors, write_tensors
from kobitnet.memory import available_bytes, weight_count
from kobitnet.model import build_model, count_parameters
from kodata.run.errors import UserError
from kodata.run.files import read_json_object
from kodata.run.flags import DryRun, Flat, Fresh, Output, Parameter, Seed
from kodata.run.folder import open_run
from kodata.run.progress import note
from kodata.run.result import Result
from kotok.extend import read_mapping
from kotok.tokenizer import Tokenizer, load

LAYOUTS = ("llama", "mistral")
"""`model_type`s that compute what the stock BitNet computes, but for quantisation and SubLN."""
ACTIVATIONS = {"silu": "silu", "swish": "silu", "relu2": "relu2"}
NORMS = ("attn_sub_norm", "ffn_sub_norm")


@dataclass(kw_only=True, slots=True)
class ConvertConfig:
    """What becomes of the original."""

    fresh_weights: bool = False
    """모양만 따고 가중치는 새로 (the shape only, weights drawn anew)"""
    act: Literal["keep", "silu", "relu2"] = "keep"
    """활성 함수 (activation: the original's, or another)"""


def convert(
    model: Annotated[Path, Parameter(help="Hugging Face 모델 폴더 (model folder, safetensors)")],
    /,
    *,
    output: Output,
    tok: Annotated[
        Path | None,
        Parameter(
            help="새 토크나이저: kotok extend 나 train 의 결과, 임베딩은 옛 조각의 평균에서 (new tokenizer; "
            "embeddings start from the mean of old pieces)"
        ),
    ] = None,
    config: Annotated[ConvertConfig | None, Flat] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> Result:
    """Llama 꼴 모델을 BitNet 으로 바꿉니다 (turn a Llama-layout decoder into a BitNet to train on)

    heads x head_dim must equal the hidden size, no bias, no norm on queries and keys; other models are refused with the
    reason. The result is a run folder whose model/ opens with stock transformers.

    Raises:
        UserError: no such model, a layout that does not fit, damaged weights, a tokenizer without its embeddings.
    """
    config = config or ConvertConfig()
    source = _config(model)
    old = _tokenizer(model)
    new = old if tok is None else _tokenizer(tok)
    tensors = _Tensors(model)
    reasons = misfits(source, tensors.shapes)
    if reasons:
        raise UserError(
            "BitNet 으로 바꿀 수 없는 모델 (does not fit the BitNet architecture): " + "; ".join(reasons),
            help="Llama 2, Llama 3, TinyLlama 같은 꼴만 됩니다 (only layouts such as these)",
            file=model / "config.json",
        )
    rows = source.vocab_size
    if old.vocab_size > rows:
        raise UserError(
            f"토크나이저가 임베딩보다 큽니다 (tokenizer {old.vocab_size} > embeddings {rows})", file=model
        )
    pieces = embedding_pieces(old, new, None if tok is None else read_mapping(tok))
    architecture = bitnet_config(source, new, config.act)
    facts = {
        "parameters": weight_count(architecture),
        "embedding_rows": rows,
        "vocab_size": new.vocab_size,
        "rows_kept": sum(len(p) == 1 for p in pieces),
        "rows_averaged": sum(len(p) > 1 for p in pieces),
        "rows_without_old_pieces": sum(not p for p in pieces),
        "hidden_act": architecture.hidden_act,
    }
    lines = [
        f"매개변수 (parameters): {facts['parameters']:,}, 활성 (activation) {architecture.hidden_act}",
        f"임베딩 행 (embedding rows): {rows:,} → {new.vocab_size:,}; 그대로 (kept) {facts['rows_kept']:,}, "
        f"옛 조각의 평균 (averaged) {facts['rows_averaged']:,}, 온 평균 (mean of all) {facts['rows_without_old_pieces']:,}",
    ]
    needed, free = 8 * facts["parameters"], available_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"메모리가 모자랍니다 (not enough memory): {needed / 1e9:.1f} GB, 남은 것 (free) {free / 1e9:.1f} GB",
            help="메모리가 더 큰 기계에서 하십시오 (use a machine with more memory)",
        )
    if dry_run:
        return Result(
            summary=facts, lines=[*lines, "아무것도 쓰지 않았습니다 (dry run: nothing was written)"]
        )
    inputs = [model, *([tok] if tok else [])]
    settings = {**asdict(config), "tokenizer": new.fingerprint}
    with open_run(
        output, tool="kobitnet", verb="convert", config=settings, inputs=inputs, seed=seed, fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        made = build_model(architecture, "b1.58", seed=seed if config.fresh_weights else None)
        if not config.fresh_weights:
            copy_weights(made, tensors, pieces)
        folder = run.path / "model"
        save_settings(folder, made, new, quant="b1.58", groups=1, stage="pretrain")
        temporary = folder / f".{WEIGHTS}.tmp"
        temporary.unlink(missing_ok=True)
        write_tensors(temporary, state_tensors(made))
        os.replace(temporary, folder / WEIGHTS)
        lines.append(
            "다음 (next): kobitnet train SHARDS --from "
            + str(output)
            + " (조각은 model/ 의 토크나이저로; shards by its tokenizer)"
        )
        return run.finish(summary={**facts, **count_parameters(made)}, lines=lines)


# ---- the original -------------------------------------------------------------------------------


def _config(folder: Path) -> Any:
    """The original's transformers config. UserError for a folder without one, or of an unknown kind."""
    file = folder / "config.json"
    if not file.is_file():
        raise UserError(
            f"모델 폴더가 아닙니다 (no config.json): {folder}",
            help="Hugging Face 모델 폴더를 주십시오 (give a model folder)",
        )
    raw = read_json_object(file)
    kind = raw.get("model_type")
    from transformers import CONFIG_MAPPING

    try:
        return CONFIG_MAPPING[str(kind)].from_dict(raw)  # never trust_remote_code
    except KeyError:
        raise UserError(
            f"모르는 모델 (unknown model_type): {kind!r}",
            help=f"되는 것 (supported): {', '.join(LAYOUTS)}",
            file=file,
        ) from None
    except Exception as error:  # transformers' own checks raise their own kinds of errors
        raise UserError(
            f"config.json 을 이해하지 못합니다 (not understood): {str(error).strip().splitlines()[-1]}",
            help="원본을 다시 받으십시오 (get the original again)",
            file=file,
        ) from None


def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder, its chat template from chat_template.jinja where it is kept there."""
    made = load(folder)
    template = folder / "chat_template.jinja"
    if "chat_template" not in made.config and template.is_file():
        made.config["chat_template"] = template.read_text(encoding="utf-8")
    return made


def misfits(config: Any, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Why this decoder is no BitNet with other weights; empty when it fits."""
    reasons = []
    heads, hidden = int(config.num_attention_heads), int(config.hidden_size)
    head_dim = getattr(config, "head_dim", None) or hidden // heads
    if config.model_type not in LAYOUTS:
        reasons.append(f"model_type {config.model_type} (되는 것 supported: {', '.join(LAYOUTS)})")
    if heads * head_dim != hidden:
        reasons.append(f"heads {heads} × head_dim {head_dim} ≠ hidden {hidden}")
    if any("q_norm" in name or "k_norm" in name for name in shapes):
        reasons.append("질의·열쇠에 노름이 있음 (norm on queries or keys)")
    if any(name.endswith(".bias") for name in shapes):
        reasons.append("치우침 항이 있음 (bias)")
    if any("expert" in name for name in shapes):
        reasons.append("전문가 섞음 (mixture of experts)")
    if getattr(config, "sliding_window", None):
        reasons.append(f"미끄럼창 주의 (sliding window {config.sliding_window})")
    if getattr(config, "hidden_act", None) not in ACTIVATIONS:
        reasons.append(f"활성 함수 (activation) {getattr(config, 'hidden_act', None)}")
    if not reasons:
        wanted = _expected(config)
        wrong = [f"{n} {shapes.get(n)} ≠ {s}" for n, s in wanted.items() if shapes.get(n) != s]
        extra = [n for n in shapes if n not in wanted and "rotary" not in n and n != "lm_head.weight"]
        reasons += (
            [f"텐서가 다름 (tensors differ): {', '.join([*wrong, *extra][:3])}"] if wrong or extra else []
        )
    return reasons


def _expected(config: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of such a decoder."""
    hidden, inner = config.hidden_size, config.intermediate_size
    kv = hidden // config.num_attention_heads * config.num_key_value_heads
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, hidden)
    for n in range(config.num_hidden_layers):
        at = f"model.layers.{n}."
        shapes |= {
            at + "input_layernorm.weight": (hidden,),
            at + "post_attention_layernorm.weight": (hidden,),
            at + "self_attn.q_proj.weight": (hidden, hidden),
            at + "self_attn.k_proj.weight": (kv, hidden),
            at + "self_attn.v_proj.weight": (kv, hidden),
            at + "self_attn.o_proj.weight": (hidden, hidden),
            at + "mlp.gate_proj.weight": (inner, hidden),
            at + "mlp.up_proj.weight": (inner, hidden),
            at + "mlp.down_proj.weight": (hidden, inner),
        }
    return shapes


class _Tensors:
    """The safetensors of a folder, one file or several, read one tensor at a time."""

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError, safe_open

        index = folder / f"{WEIGHTS}.index.json"
        if index.is_file():
            listed = read_json_object(index).get("weight_map")
            names = sorted({str(v) for v in listed.values()}) if isinstance(listed, dict) else []
            files = [folder / Path(name).name for name in names]
        else:
            files = [folder / WEIGHTS]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._file: dict[str, Path] = {}
        if not files or not all(f.is_file() for f in files):
            missing = next((f for f in files if not f.is_file()), folder / WEIGHTS)
            raise UserError(
                f"가중치가 없습니다 (no weights; only safetensors are read): {missing}",
                help="safetensors 로 저장된 모델을 받으십시오; .bin 은 열지 않습니다 (pickle files are never opened)",
            )
        try:
            for file in files:
                with safe_open(file, framework="pt") as opened:
                    for name in opened.keys():  # noqa: SIM118 (no mapping)
                        self.shapes[name] = tuple(opened.get_slice(name).get_shape())
                        self._file[name] = file
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"가중치 파일이 깨졌습니다 (damaged weights): {error}",
                help="다시 받으십시오 (get it again)",
                file=file,
            ) from None

    def read(self, name: str) -> Tensor:
        """One tensor in fp32."""
        from safetensors import safe_open

        with safe_open(self._file[name], framework="pt") as opened:
            found: Tensor = opened.get_tensor(name)
        return found.float()


# ---- the BitNet ---------------------------------------------------------------------------------


def bitnet_config(source: Any, tokenizer: Tokenizer, act: str) -> Any:
    """The BitNetConfig with the original's shape and this tokenizer's ids."""
    from transformers import BitNetConfig

    return BitNetConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=source.hidden_size,
        intermediate_size=source.intermediate_size,
        num_hidden_layers=source.num_hidden_layers,
        num_attention_heads=source.num_attention_heads,
        num_key_value_heads=source.num_key_value_heads,
        hidden_act=ACTIVATIONS[source.hidden_act] if act == "keep" else act,
        max_position_embeddings=source.max_position_embeddings,
        initializer_range=source.initializer_range,
        rms_norm_eps=source.rms_norm_eps,
        rope_parameters=dict(source.rope_parameters),
        tie_word_embeddings=source.tie_word_embeddings,
        bos_token_id=_or_none(tokenizer, "bos_id"),
        eos_token_id=tokenizer.eot_id,
        pad_token_id=None,
    )


def _or_none(tokenizer: Tokenizer, role: str) -> int | None:
    try:
        return int(getattr(tokenizer, role))
    except UserError:
        return None


def embedding_pieces(
    old: Tokenizer, new: Tokenizer, mapping: dict[str, Any] | None = None
) -> list[list[int]]:
    """For each id of the new tokenizer the old ids whose rows it starts from; empty: the mean of all rows.

    With `kotok extend`'s mapping of just this pair, old ids keep their rows and new ones take their pieces. Otherwise a
    token takes the row of the old token with the same bytes, else the rows of what the old tokenizer makes of its text
    (of its bytes, for a piece of a character); control tokens go by name, then by role.
    """
    if new.fingerprint == old.fingerprint:
        return [[i] for i in range(new.vocab_size)]
    if mapping and (mapping["base_fingerprint"], mapping["fingerprint"]) == (
        old.fingerprint,
        new.fingerprint,
    ):
        return [[i] if i < old.vocab_size else mapping["pieces"].get(i, []) for i in range(new.vocab_size)]
    if mapping:
        note(
            "extend.json 은 다른 토크나이저의 것이라 글로 맞춥니다 (extend.json is of another pair: matched by text)"
        )
    same: dict[bytes, int] = {}
    hidden = set(old.control.values())
    for i in range(old.vocab_size):
        if i not in hidden and old.token(i):
            same.setdefault(old.token(i), i)
    roles = {
        there: here
        for role in ("bos_id", "eot_id", "end_of_turn_id")
        if (there := _or_none(new, role)) is not None and (here := _or_none(old, role)) is not None
    }
    named = {i: name for name, i in new.control.items()}
    out: list[list[int]] = []
    for i in range(new.vocab_size):
        token = new.token(i)
        if i in named:
            known = old.control.get(named[i], roles.get(i))
            out.append([] if known is None else [known])
        elif token in same:
            out.append([same[token]])
        else:
            out.append(_spelled(old, token, same))
    return out


def _spelled(old: Tokenizer, token: bytes, same: dict[bytes, int]) -> list[int]:
    try:
        return old.encode(token.decode())
    except UnicodeDecodeError:
        return [same[bytes([b])] for b in token if bytes([b]) in same]


@torch.no_grad()
def copy_weights(model: Any, tensors: _Tensors, pieces: Sequence[Sequence[int]]) -> None:
    """Fill the model: matrices and norms as they are, embeddings by `pieces`, new norms with 1."""
    for name, parameter in state_tensors(model).items():
        if any(part in name for part in NORMS):
            parameter.fill_(1.0)
        elif name in ("model.embed_tokens.weight", "lm_head.weight"):
            parameter.copy_(averaged(tensors.read(name), pieces))
        else:
            parameter.copy_(tensors.read(name))


def averaged(rows: Tensor, pieces: Sequence[Sequence[int]]) -> Tensor:
    """(len(pieces), hidden): the mean of the rows (V, hidden) that each list names; of all rows for an empty list."""
    sizes = torch.tensor([len(p) for p in pieces])
    owner = torch.repeat_interleave(torch.arange(len(pieces)), sizes)
    picked = torch.tensor([i for p in pieces for i in p], dtype=torch.long)
    out = torch.zeros(len(pieces), rows.shape[1]).index_add_(0, owner, rows[picked])
    out /= sizes.clamp(min=1)[:, None]
    out[sizes == 0] = rows.mean(0)
    return out
