"""Chat templates of users: any jinja template that marks what is learned with `{% generation %}`, as pieces to encode.

The template is rendered as transformers does it. Control tokens count where the template writes them; what a message holds is
guarded before and stays text. Text is cut at control tokens and at the edges of learned spans, and each stretch is
encoded by itself, so no merge crosses the edge of what is learned.

A template is a program that came with somebody's tokenizer: it runs in jinja's sandbox, and its loop steps and calls are
counted, so that none runs for ever.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodata.run.errors import UserError
from kotok.template import Piece, TemplateSpec, Turn

if TYPE_CHECKING:
    from kotok.tokenizer import Tokenizer

OPEN, CLOSE, GUARD = "\ue0f0", "\ue0f1", "\ue0f2"
"""Private characters around a learned span, and inside a control string that somebody typed."""
MAX_TEMPLATE_CHARS = 100_000
MAX_STEPS = 1_000_000
"""Loop steps and calls of one rendering."""
MAX_RESULT = 1 << 24
"""Characters of a repeated text, bits of a power."""
EXAMPLE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}{% endgeneration %}"
    "{% else %}{{ m.role + ': ' + m.content }}{% endif %}{% endfor %}"
)


def read_template(path: Path) -> str:
    """The text of a template file. Raises UserError when it cannot be read or marks nothing as learned."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"대화 틀 파일을 읽을 수 없습니다 (cannot read the chat template): {path}: {error}",
            "내장 틀: bitnet instruction inst chatml, 또는 jinja 파일의 경로 (built-in names, or the path of a jinja file)",
        ) from None
    check_template(text, str(path))
    return text


def is_marked(text: Any) -> bool:
    """Whether a template says what is learned."""
    return isinstance(text, str) and re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", text) is not None


def check_template(text: str, name: str) -> None:
    """Raise UserError for a template that is too long, does not parse, or has no `{% generation %}`."""
    if len(text) > MAX_TEMPLATE_CHARS:
        raise UserError(f"대화 틀이 너무 깁니다 (template too long): {name}: {len(text):,} 글자 (characters)")
    if not is_marked(text):
        raise UserError(
            f"대화 틀에 배울 곳의 표시가 없습니다 (no {{% generation %}} in the chat template): {name}",
            f"배울 글을 {{% generation %}}…{{% endgeneration %}}로 감싸십시오, 예 (wrap what is learned, e.g.): {EXAMPLE}",
        )
    _compiled(text, name)


_left = threading.local()
"""`steps`: what this thread's rendering may still do."""


def _spend() -> None:
    from jinja2 import TemplateRuntimeError

    _left.steps -= 1
    if _left.steps < 0:
        raise TemplateRuntimeError(
            f"{MAX_STEPS:,}걸음을 넘습니다 (more than {MAX_STEPS:,} loop steps and calls)"
        )


def _counted(items: Any) -> Iterator[Any]:
    for item in items:
        _spend()
        yield item


def _bounded(operator: str, left: Any, right: Any) -> None:
    """Refuse a product or power whose result is too large to compute."""
    from jinja2 import TemplateRuntimeError

    size = 0
    if operator == "*":
        for value, times in ((left, right), (right, left)):
            if isinstance(value, str | list | tuple) and isinstance(times, int):
                size = len(value) * times
    elif isinstance(left, int) and isinstance(right, int):
        size = left.bit_length() * right
    if size > MAX_RESULT:
        raise TemplateRuntimeError(f"결과가 너무 큽니다 (result too large): {operator}")


@lru_cache(maxsize=16)
def _compiled(text: str, name: str = "") -> Any:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        """Counts loop steps and calls."""

        intercepted_binops = frozenset(["*", "**"])

        def _parse(self, source: str, name: Any, filename: Any) -> nodes.Template:
            tree = super()._parse(source, name, filename)
            for loop in tree.find_all(nodes.For):
                loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
            return tree

        def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
            _spend()
            return super().call(context, obj, *args, **kwargs)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _bounded(operator, left, right)
            return super().call_binop(context, operator, left, right)

    class Generation(Extension):
        """`{% generation %}`: the body between two marks."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

        def _marked(self, caller: Callable[[], str]) -> str:
            return f"{OPEN}{caller()}{CLOSE}"

    def refuse(message: str) -> str:
        raise TemplateError(message)

    env = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["_counted"] = _counted
    env.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    env.globals["raise_exception"] = refuse
    try:
        return env.from_string(text)
    except (
        TemplateError,
        SyntaxError,
        RecursionError,
    ) as error:  # the latter two: blocks in blocks in blocks
        raise UserError(
            f"대화 틀을 해석할 수 없습니다 (cannot parse the chat template): {name}: {error}",
            f"예 (e.g.): {EXAMPLE}",
        ) from None


def custom_template(text: str, tokenizer: Tokenizer) -> TemplateSpec:
    """The spec of a user's template for a tokenizer. Raises what `check_template` raises."""
    check_template(text, "chat_template")
    names = {
        key: str(value.get("content") if isinstance(value, Mapping) else value)
        for key in ("bos_token", "eos_token", "pad_token", "unk_token")
        if (value := tokenizer.config.get(key))
    }
    controls = sorted(tokenizer.control, key=len, reverse=True)
    cut = re.compile("|".join(map(re.escape, [OPEN, CLOSE, *controls])))
    typed = re.compile("|".join(map(re.escape, controls))) if controls else None

    def pieces(turns: Sequence[Turn], generation: bool) -> list[Piece]:
        return _pieces(_rendered(text, turns, generation, names, typed), turns, cut)

    return TemplateSpec(pieces, text, only_answers=True)


def _rendered(
    text: str,
    turns: Sequence[Turn],
    generation: bool,
    names: Mapping[str, str],
    typed: re.Pattern[str] | None,
) -> str:
    from jinja2 import TemplateError

    messages = []
    for i, turn in enumerate(turns):
        if any(mark in turn.content for mark in (OPEN, CLOSE, GUARD)):
            raise UserError(
                f"내용에 쓸 수 없는 글자가 있습니다 (private-use character U+E0F0…U+E0F2): messages[{i}].content",
                "kodata sft를 거치거나 그 글자를 지우십시오 (remove the character)",
            )
        content = typed.sub(lambda m: m[0][0] + GUARD + m[0][1:], turn.content) if typed else turn.content
        messages.append({"role": turn.role, "content": content, **({} if turn.train else {"train": False})})
    template = _compiled(text)
    _left.steps = MAX_STEPS
    try:
        return template.render(messages=messages, add_generation_prompt=generation, **names)
    except (
        TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError,
    ) as error:  # fmt: skip
        raise UserError(
            f"대화 틀이 이 대화를 받지 않습니다 (the chat template refuses this chat): {error or type(error).__name__}",
            "역할의 차례와 틀을 확인하십시오 (check the roles and the template)",
        ) from None


def _pieces(rendered: str, turns: Sequence[Turn], cut: re.Pattern[str]) -> list[Piece]:
    """Stretches of the rendered text. A learned span belongs to the answer of the same number."""
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
    spans = rendered.count(OPEN)
    if spans != len(answers):  # a template may leave out what is only shown
        answers = [i for i in answers if turns[i].train]
    if spans != len(answers) and spans:
        raise UserError(
            f"대화 틀이 배울 곳을 {spans}번 표시했는데 답은 {len(answers)}개입니다 "
            f"({{% generation %}} {spans} times for {len(answers)} answers)",
            "답마다 한 번 {% generation %}로 감싸십시오 (wrap each answer once)",
        )
    out: list[Piece] = []
    span, message, end = -1, -1, 0

    def add(text: str) -> None:
        text = text.replace(GUARD, "")
        if text:
            out.append(Piece(text, message=message))

    for found in cut.finditer(rendered):
        add(rendered[end : found.start()])
        end = found.end()
        if found[0] == OPEN:
            span += 1
            message = answers[span]
        elif found[0] == CLOSE:
            message = -1
        else:
            out.append(Piece(found[0], control=True, message=message))
    add(rendered[end:])
    return out
