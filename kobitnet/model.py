"""The model: stock transformers BitNetForCausalLM whose linears and norms are ours, at the sizes of the papers.

Attention, rotary embedding, MLP and the names of all parameters are those of transformers (SubLN before o_proj and
down_proj, no bias), so a saved b1.58 model opens there and computes the same logits. Only three things are swapped in:
`BitLinear` for the seven projections of a layer, `QuantNorm` for its four norms. Embedding, final norm and output head stay
in full precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from kobitnet.attention import register
from kobitnet.bitlinear import BitLinear
from kobitnet.norm import ACTS, QuantNorm

if TYPE_CHECKING:
    from transformers import BitNetConfig

Model: TypeAlias = Any
"""A transformers BitNetForCausalLM; Any, because the types of nn.Module's attributes are not declared there."""

# ---- sizes --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """Dimensions of a model size and the peak learning rate its paper trained it with."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    lr: float
    """Peak learning rate of stage one."""
    lr2: float
    """Learning rate at which stage two (no weight decay) starts."""
    positions: int = 2048
    """Longest sequence the configuration announces."""
    source: str = ""


# Gated feed-forward everywhere. Where a paper's width is no multiple of 128 (what packed kernels want) the next one is taken.
# 125m and 350m: BitNet table 5 has 4 x hidden without gate; 8/3 x hidden with gate has the same number of weights.
PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        hidden=256,
        intermediate=384,
        layers=4,
        heads=4,
        kv_heads=2,
        lr=4e-3,
        lr2=2.7e-3,
        source="ours: 2.0 M weights without embeddings, minutes on two cores",
    ),
    "small": Preset(
        hidden=512,
        intermediate=1408,
        layers=8,
        heads=8,
        kv_heads=8,
        lr=2.4e-3,
        lr2=1.6e-3,
        source="ours: 25.7 M weights without embeddings",
    ),
    "125m": Preset(
        hidden=768,
        intermediate=2048,
        layers=12,
        heads=12,
        kv_heads=12,
        lr=2.4e-3,
        lr2=1.6e-3,
        source="2310.11453 table 5",
    ),
    "350m": Preset(
        hidden=1024,
        intermediate=2816,
        layers=24,
        heads=16,
        kv_heads=16,
        lr=1.2e-3,
        lr2=8e-4,
        source="2310.11453 table 5",
    ),
    "700m": Preset(
        hidden=1536,
        intermediate=4096,
        layers=24,
        heads=24,
        kv_heads=24,
        lr=1.5e-3,
        lr2=1e-3,
        source="b1.58 Training Tips",
    ),
    "1.3b": Preset(
        hidden=2048,
        intermediate=5504,
        layers=24,
        heads=32,
        kv_heads=32,
        lr=1.2e-3,
        lr2=8e-4,
        source="b1.58 Training Tips (5460 there)",
    ),
    "3b": Preset(
        hidden=3200,
        intermediate=8704,
        layers=26,
        heads=32,
        kv_heads=32,
        lr=1.2e-3,
        lr2=8e-4,
        source="b1.58 Training Tips (8640 there)",
    ),
    "3.9b": Preset(
        hidden=3200,
        intermediate=12800,
        layers=26,
        heads=32,
        kv_heads=32,
        lr=1.2e-3,
        lr2=8e-4,
        source="b1.58 Training Tips",
    ),
    "2b4t": Preset(
        hidden=2560,
        intermediate=6912,
        layers=30,
        heads=20,
        kv_heads=5,
        lr=1.2e-3,
        lr2=8e-4,
        positions=4096,
        source="bitnet-b1.58-2B-4T config.json; its report prints no learning rate, that of 3b is taken",
    ),
}

ROW_PARALLEL = (
    "o_proj",
    "down_proj",
)  # tensor parallelism splits the inputs of these, the outputs of the others


def model_config(
    preset: Preset,
    *,
    vocab_size: int,
    act: str = "relu2",
    tie: bool = True,
    seq_len: int = 0,
    eos: int | list[int] | None = None,
    bos: int | None = None,
    pad: int | None = None,
) -> BitNetConfig:
    """The transformers configuration of a preset for a vocabulary (a multiple of 64 keeps the head aligned)."""
    from transformers import BitNetConfig

    return BitNetConfig(
        vocab_size=vocab_size,
        hidden_size=preset.hidden,
        intermediate_size=preset.intermediate,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.kv_heads,
        hidden_act=act,
        max_position_embeddings=max(preset.positions, seq_len),
        tie_word_embeddings=tie,
        eos_token_id=eos,
        bos_token_id=bos,
        pad_token_id=pad,
    )


# ---- building -----------------------------------------------------------------------------------


def build_model(
    config: BitNetConfig,
    quant: str = "b1.58",
    *,
    groups: int = 1,
    seed: int | None = 0,
    residual_scale: bool = True,
) -> Model:
    """A fresh BitNet in fp32 on the CPU. `seed` None leaves weights as transformers made them (loading overwrites them).

    All matrices start from N(0, 0.02), o_proj and down_proj from 0.02 / sqrt(2 * layers): SubLN brings each branch to unit size
    before its last matrix, so without this the branches start larger than the embeddings they are added to (GPT-2's
    scaling; the absmean scale carries it through the ternary codes).
    """
    from transformers import BitNetForCausalLM

    model = BitNetForCausalLM(config)
    model.config._attn_implementation = register()
    swap_layers(model, quant, groups)
    if seed is not None:
        _initialise(model, seed, residual_scale)
    return model


def swap_layers(model: Model, quant: str, groups: int = 1) -> None:
    """Put BitLinear and QuantNorm in place of the projections and norms of every decoder layer, keeping their weights."""
    for layer in model.model.layers:
        for owner in (layer.self_attn, layer.mlp):
            for name, old in list(owner.named_children()):
                if isinstance(old, nn.Linear):
                    row_parallel = name in ROW_PARALLEL
                    new = BitLinear(
                        old.in_features,
                        old.out_features,
                        quant,
                        groups=groups,
                        group_dim=int(row_parallel),
                        quantise_input=False,
                        device="meta",
                    )
                    new.weight = old.weight
                    if quant == "b1-alpha":
                        new.alpha = nn.Parameter(old.weight.detach().float().abs().mean().reshape(1))
                    setattr(owner, name, new)
        row_groups = groups if quant == "group" else 1
        for owner, name, parts in (
            (layer, "input_layernorm", 1),
            (layer, "post_attention_layernorm", 1),
            (layer.self_attn, "attn_sub_norm", row_groups),
            (layer.mlp, "ffn_sub_norm", row_groups),
        ):
            old = getattr(owner, name)
            setattr(owner, name, QuantNorm(old.weight, old.variance_epsilon, quant, parts))
        if model.config.hidden_act in ACTS:
            layer.mlp = GatedMLP(layer.mlp, model.config.hidden_act)


class GatedMLP(nn.Module):
    """The feed-forward block of transformers' BitNetMLP, taken over with its parts and their names:
    down(norm(act(gate(x)) * up(x))), with gate, norm and quantisation in one node."""

    def __init__(self, old: Any, act: str) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = old.gate_proj, old.up_proj, old.down_proj
        self.ffn_sub_norm: QuantNorm = old.ffn_sub_norm
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.ffn_sub_norm.gated(self.gate_proj(x), self.up_proj(x), self.act))


@torch.no_grad()
def _initialise(model: Model, seed: int, residual_scale: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    std = model.config.initializer_range
    small = std / math.sqrt(2 * model.config.num_hidden_layers) if residual_scale else std
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            here = small if any(part in name for part in ROW_PARALLEL) else std
            parameter.normal_(0.0, here, generator=generator)
        elif "norm" in name:
            parameter.fill_(1.0)
    for module in model.modules():
        if isinstance(module, BitLinear) and module.quant == "b1-alpha":
            module.alpha.copy_(module.weight.abs().mean().reshape(1))
    if (pad := model.config.pad_token_id) is not None:
        model.model.embed_tokens.weight[pad].zero_()


def count_parameters(model: Model) -> dict[str, int]:
    """Numbers of parameters: all, in embeddings (a tied head counted once) and in everything else."""
    total = sum(p.numel() for p in model.parameters())
    embedding = model.model.embed_tokens.weight.numel()
    if model.lm_head.weight is not model.model.embed_tokens.weight:
        embedding += model.lm_head.weight.numel()
    return {"total": total, "embedding": embedding, "non_embedding": total - embedding}


# ---- running ------------------------------------------------------------------------------------


def hidden_states(
    model: Model,
    input_ids: Tensor,
    position_ids: Tensor | None = None,
    segments: Tensor | None = None,
    causal: bool = True,
    **kwargs: Any,
) -> Tensor:
    """Final hidden states (B, T, hidden), before the output head, so that logits need never be whole in memory.

    input_ids (B, T) int64. `segments` (B, T): tokens attend only to earlier tokens of the same segment (packed
    examples); None: plain causal attention. `position_ids` (B, T) restart at 0 in every segment. `causal` False: every
    token attends to all (masked language modelling).
    """
    mask = None
    if not causal:
        length = input_ids.shape[1]
        mask = torch.ones(1, 1, length, length, dtype=torch.bool, device=input_ids.device)
    if segments is not None:
        length = input_ids.shape[1]
        earlier = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).tril_()
        mask = (
            segments[:, None, :, None] == segments[:, None, None, :]
        ) & earlier  # (B, 1, T, T), True = may attend
    return model.model(
        input_ids=input_ids, attention_mask=mask, position_ids=position_ids, use_cache=False, **kwargs
    ).last_hidden_state
