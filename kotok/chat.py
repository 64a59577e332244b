"""THE template and mask: the only place that turns roles into token ids and says which of them are learned.

A conversation becomes pieces: control tokens, headers, contents. Each text piece is encoded by itself, so no merge
crosses a role boundary and nothing a user types becomes a control token. Mask 1 (not shifted) marks the tokens to
learn: the content of a learned message and the end-of-turn that closes it.

Every template puts its boundaries at a control token or where the pre-tokenizer cuts anyway, so the jinja twin
(`kotok.template.TEMPLATES[name].jinja`, saved as chat template) gives the same ids and, with `{% generation %}`, the same mask through
`apply_chat_template(..., return_dict=True, return_assistant_tokens_mask=True)["assistant_masks"]`, as long as texts hold
no control strings and (instruction, inst, chatml) no white space at their edges. The space after `Assistant:` is the
first learned character: a generation prompt ends at `:` and is a prefix of the training ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from kodata.run.errors import UserError
from kotok.jinja import custom_template, is_marked, read_template
from kotok.template import ROLES, TEMPLATES, Piece, TemplateSpec, Turn
from kotok.tokenizer import Tokenizer
from kotok.tokenizer_json import BOS, END_OF_TURN

Train = Literal["assistant", "last", "all"]


def template_of(tokenizer: Tokenizer) -> str | TemplateSpec:
    """The template a tokenizer folder was saved with: a built-in's name, or a user's that marks what is learned; bitnet when it
    has another or none."""
    saved = tokenizer.config.get("chat_template")
    name = next((name for name, spec in TEMPLATES.items() if spec.jinja == saved), None)
    if name is None and is_marked(saved):
        return custom_template(str(saved), tokenizer)
    return name or "bitnet"


def template_name(template: str | TemplateSpec) -> str:
    """`bitnet`, …, or `custom-` and a digest of a user's template: what meta.json and manifests hold."""
    if isinstance(template, str):
        return template
    return f"custom-{blake2b(template.jinja.encode(), digest_size=6).hexdigest()}"


def spec_of(template: str | TemplateSpec) -> TemplateSpec:
    """The spec behind a built-in's name. Raises UserError for a name nobody knows."""
    if isinstance(template, TemplateSpec):
        return template
    if template not in TEMPLATES:
        raise UserError(
            f"모르는 대화 틀 (unknown chat template): {template}",
            f"{' | '.join(TEMPLATES)}, 또는 jinja 파일 (or a jinja file)",
        )
    return TEMPLATES[template]


def chosen_template(name: str, tokenizer: Tokenizer) -> str | TemplateSpec:
    """What `--template` names: saved (the tokenizer's own), a built-in, or the path of a jinja file."""
    if name == "saved":
        return template_of(tokenizer)
    if name in TEMPLATES:
        return name
    path = Path(name)
    if not path.is_file():
        spec_of(name)
    return custom_template(read_template(path), tokenizer)


# ---------------------------------------------------------------------------------------------------------------------
# Rendering


def turns_of(messages: Sequence[Any]) -> list[Turn]:
    """Messages (mappings, or objects with role and content) as turns. Raises UserError for a role nobody knows."""
    turns = []
    for i, message in enumerate(messages):
        if isinstance(message, Mapping):
            role, content, train = message.get("role"), message.get("content"), message.get("train")
        else:
            role, content, train = message.role, message.content, getattr(message, "train", None)
        if role not in ROLES:
            raise UserError(
                f"모르는 역할 (unknown role): messages[{i}].role: {role!r}",
                f"쓸 수 있는 역할은 {', '.join(ROLES)} 입니다, 도구 호출은 배우지 않습니다 (tool messages are not supported)",
            )
        if not isinstance(content, str):
            raise UserError(
                f"내용이 글이 아닙니다 (content is not a string): messages[{i}].content: {type(content).__name__}",
                'content 는 문자열 하나입니다 (one string): {"role": "user", "content": "…"}',
            )
        turns.append(Turn(role, content, train is None or bool(train)))  # null is the same as not given
    return turns


def learned_messages(turns: Sequence[Turn], train: Train) -> set[int]:
    """Indices of the messages to learn: assistant turns, only the last of them, or all; `train=False` never."""
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
    chosen = {"assistant": answers, "last": answers[-1:], "all": list(range(len(turns)))}[train]
    return {i for i in chosen if turns[i].train}


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Any],
    template: str | TemplateSpec = "bitnet",
    train: Train = "assistant",
) -> tuple[list[int], list[int]]:
    """Ids and mask of one conversation, two lists of equal length; mask 1 = learn this token (not shifted)."""
    return render_many(tokenizer, [messages], template, train)[0]


def render_many(
    tokenizer: Tokenizer,
    conversations: Sequence[Sequence[Any]],
    template: str | TemplateSpec = "bitnet",
    train: Train = "assistant",
    threads: int = 1,
) -> list[tuple[list[int], list[int]]]:
    """`render` of many conversations with one call of the encoder."""
    spec = spec_of(template)
    if train == "all" and spec.only_answers:
        raise UserError(
            "직접 만든 대화 틀로는 답만 배웁니다 (with a template of your own only answers are learned)",
            "--train assistant 또는 --train last",
        )
    rendered = []
    for messages in conversations:
        turns = turns_of(messages)
        rendered.append((spec.pieces(turns, False), learned_messages(turns, train)))
    encoded = encode_pieces(tokenizer, [pieces for pieces, _ in rendered], threads)
    out = []
    for pieces, learned in rendered:
        ids: list[int] = []
        mask: list[int] = []
        for piece in pieces:
            new = encoded[piece.control, piece.text]
            ids += new
            mask += [1 if piece.message in learned else 0] * len(new)
        out.append((ids, mask))
    return out


def prompt_ids(
    tokenizer: Tokenizer, messages: Sequence[Any], template: str | TemplateSpec = "bitnet"
) -> list[int]:
    """Ids of the generation prompt: the conversation and the header of the answer (bitnet: it ends at `Assistant:`).

    With the answer appended to `messages`, `render` gives ids that begin with these.
    """
    pieces = spec_of(template).pieces(turns_of(messages), True)
    encoded = encode_pieces(tokenizer, [pieces], 1)
    return [i for piece in pieces for i in encoded[piece.control, piece.text]]


def encode_pieces(
    tokenizer: Tokenizer, rendered: Sequence[Sequence[Piece]], threads: int
) -> dict[tuple[bool, str], list[int]]:
    """{(is control, text): ids} of every piece."""
    texts = list(dict.fromkeys(p.text for pieces in rendered for p in pieces if not p.control))
    controls = {p.text for pieces in rendered for p in pieces if p.control}
    encoded = {
        (False, text): ids for text, ids in zip(texts, tokenizer.encode_batch(texts, threads), strict=True)
    }
    encoded |= {(True, text): [control_id(tokenizer, text)] for text in controls}
    return encoded


def control_id(tokenizer: Tokenizer, text: str) -> int:
    """Foreign tokenizers have other names for the two the templates need most."""
    if text in tokenizer.control:
        return tokenizer.control[text]
    if text == BOS:
        return tokenizer.bos_id
    if text == END_OF_TURN:
        return tokenizer.end_of_turn_id
    return tokenizer.control_id(text)
