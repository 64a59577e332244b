"""Chat templates: how each built-in one writes a conversation, as pieces and as its jinja twin.

Boundaries stand at a control token or where the pre-tokenizer cuts anyway; `kotok.chat` turns pieces into ids and masks and
says what that buys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kotok.tokenizer_json import BOS, END_OF_TURN

Template = Literal["bitnet", "instruction", "inst", "chatml"]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of a rendered conversation."""

    text: str
    control: bool = False
    """A control token, not text."""
    message: int = -1
    """The message this is content of, or closes; -1 for headers. Only content is ever learned."""


@dataclass(slots=True)
class Turn:
    """A message reduced to what templates need."""

    role: str
    content: str
    train: bool = True


@dataclass(frozen=True, slots=True)
class TemplateSpec:
    """A template: pieces of a conversation (with the generation prompt when asked) and its jinja twin."""

    pieces: Callable[[Sequence[Turn], bool], list[Piece]]
    jinja: str
    only_answers: bool = False
    """Only answers can be learned: a user's template does not say where other messages stand."""


def _bitnet(turns: Sequence[Turn], generation: bool) -> list[Piece]:
    """BitNet b1.58 2B4T: `System: …<|eot_id|>\\nUser: …<|eot_id|>\\nAssistant: …<|eot_id|>`."""
    out = [Piece(BOS, control=True)]
    for i, turn in enumerate(turns):
        out.append(Piece(("\n" if i else "") + turn.role.capitalize() + ":"))
        out.append(Piece(" " + turn.content, message=i))
        out.append(Piece(END_OF_TURN, control=True, message=i))
    if generation:
        out.append(Piece(("\n" if turns else "") + "Assistant:"))
    return out


def _instruction(turns: Sequence[Turn], generation: bool) -> list[Piece]:
    """`### Instruction:\\n…<|eot_id|>\\n\\n### Response:\\n…<|eot_id|>`, a system message as `### System:`."""
    heads = {"system": "### System:\n", "user": "### Instruction:\n", "assistant": "### Response:\n"}
    out = [Piece(BOS, control=True)]
    for i, turn in enumerate(turns):
        out.append(Piece(("\n\n" if i else "") + heads[turn.role]))
        out.append(Piece(turn.content, message=i))
        out.append(Piece(END_OF_TURN, control=True, message=i))
    if generation:
        out.append(Piece(("\n\n" if turns else "") + heads["assistant"]))
    return out


def _inst(turns: Sequence[Turn], generation: bool) -> list[Piece]:
    """`[INST] … [/INST] …<|eot_id|>`; a system message as `[INST] <<SYS>> … <</SYS>> …`, all marks between spaces."""
    out = [Piece(BOS, control=True)]
    inside = False
    for i, turn in enumerate(turns):
        if turn.role == "assistant":
            out.append(Piece(" " + turn.content, message=i))
            out.append(Piece(END_OF_TURN, control=True, message=i))
            continue
        if not inside:
            out.append(Piece("[INST]"))
        inside = turn.role == "system"
        if inside:
            out.append(Piece(" <<SYS>>"))
        out.append(Piece(" " + turn.content, message=i))
        out.append(Piece(" <</SYS>>" if inside else " [/INST]"))
    return out


def _chatml(turns: Sequence[Turn], generation: bool) -> list[Piece]:
    """`<|im_start|>user\\n…<|im_end|>\\n<|im_start|>assistant\\n…<|im_end|>\\n`."""
    out: list[Piece] = []
    for i, turn in enumerate(turns):
        out += [
            Piece("<|im_start|>", control=True),
            Piece(turn.role + "\n"),
            Piece(turn.content, message=i),
            Piece("<|im_end|>", control=True, message=i),
            Piece("\n"),
        ]
    if generation:
        out += [Piece("<|im_start|>", control=True), Piece("assistant\n")]
    return out


_CHECK_ROLE = (
    "{%- if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{- raise_exception('unknown role: ' + message['role']) }}{% endif -%}"
)
_LEARNED = (
    "message['role'] == 'assistant' and "
    "(message['train'] is not defined or message['train'] is none or message['train'])"
)


def _learned(text: str) -> str:
    """Jinja: `text` of one message, inside a generation block where the message is learned."""
    return f"{{%- if {_LEARNED} %}}{{% generation %}}{{{{- {text} }}}}{{%- endgeneration %}}{{% else %}}{{{{- {text} }}}}{{%- endif -%}}"


_EACH = "{%- for message in messages -%}" + _CHECK_ROLE
_BITNET_JINJA = (
    "{{- bos_token }}"
    + _EACH
    + "{{- ('' if loop.first else '\\n') + (message['role'] | capitalize) + ':' }}"
    + _learned("' ' + message['content'] + '<|eot_id|>'")
    + "{%- endfor -%}{%- if add_generation_prompt %}{{- ('\\n' if messages else '') + 'Assistant:' }}{% endif -%}"
)
_INSTRUCTION_JINJA = (
    "{%- set heads = {'system': '### System:\\n', 'user': '### Instruction:\\n', 'assistant': '### Response:\\n'} -%}"
    "{{- bos_token }}"
    + _EACH
    + "{{- ('' if loop.first else '\\n\\n') + heads[message['role']] }}"
    + _learned("message['content'] + '<|eot_id|>'")
    + "{%- endfor -%}{%- if add_generation_prompt %}{{- ('\\n\\n' if messages else '') + '### Response:\\n' }}{% endif -%}"
)
_INST_JINJA = (
    "{%- set state = namespace(inside=false) -%}{{- bos_token }}"
    + _EACH
    + "{%- if message['role'] == 'assistant' %}"
    + _learned("' ' + message['content'] + '<|eot_id|>'")
    + "{%- else %}{%- if not state.inside %}{{- '[INST]' }}{% endif %}{%- set state.inside = message['role'] == 'system' %}"
    + "{%- if state.inside %}{{- ' <<SYS>> ' + message['content'] + ' <</SYS>>' }}"
    + "{%- else %}{{- ' ' + message['content'] + ' [/INST]' }}{% endif %}{% endif %}{%- endfor -%}"
)
_CHATML_JINJA = (
    _EACH
    + "{{- '<|im_start|>' + message['role'] + '\\n' }}"
    + _learned("message['content'] + '<|im_end|>'")
    + "{{- '\\n' }}{%- endfor -%}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif -%}"
)

TEMPLATES: dict[str, TemplateSpec] = {
    "bitnet": TemplateSpec(_bitnet, _BITNET_JINJA),
    "instruction": TemplateSpec(_instruction, _INSTRUCTION_JINJA),
    "inst": TemplateSpec(_inst, _INST_JINJA),
    "chatml": TemplateSpec(_chatml, _CHATML_JINJA),
}


def header_texts(template: str) -> list[str]:
    """What a built-in template writes around the messages of every role, control tokens left out: `\\nUser:` …"""
    turns = [Turn(role, "") for role in ROLES]
    pieces = TEMPLATES[template].pieces([*turns, turns[1]], True)
    return list(dict.fromkeys(p.text for p in pieces if p.message < 0 and not p.control))
