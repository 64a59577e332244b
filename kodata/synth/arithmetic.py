"""Korean grade-school arithmetic without a model: every problem is checked by evaluation before it is kept.

The idea is MathScale's (arXiv 2403.02884): concepts joined into new problems. The templates, the numbers and the words
are this project's own, and come under its licence.
"""

import ast
import hashlib
import operator
import random
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from kodata.chat.records import Chat, Message
from kodata.synth.early import EARLY
from kodata.synth.late import LATE
from kodata.synth.problem import Problem

TEMPLATES = EARLY + LATE
VERSION = 1
"""Counts up when the same seed gives other problems."""
TRIES = 40
"""Draws for one problem before its place is given up because everything drawn was there already."""

_BINARY: dict[type, Callable[[Fraction, Fraction], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_CALLS = {"gcd": gcd, "lcm": lcm}
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_EQUATION = re.compile(r"([\d(][\d(),./+\-×÷ ]*?) = (" + _NUMBER + r"(?:/\d+)?)(?: … (\d+))?")


def evaluate(expression: str) -> Fraction:
    """The exact value of plain arithmetic: numbers, + - * / // %, brackets, gcd and lcm.

    Raises ValueError for anything else, ZeroDivisionError where it is due.
    """
    if len(expression) > 2000:
        raise ValueError("expression too long")
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"not arithmetic: {expression!r}") from error

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Expression):
            return value(node.body)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return Fraction(ast.get_source_segment(expression, node) or "")
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return Fraction(_BINARY[type(node.op)](value(node.left), value(node.right)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            numbers = [value(argument) for argument in node.args]
            if node.keywords or any(n.denominator != 1 for n in numbers):
                raise ValueError(f"not arithmetic: {expression!r}")
            return Fraction(_CALLS[node.func.id](*(n.numerator for n in numbers)))
        raise ValueError(f"not arithmetic: {expression!r}")

    return value(tree)


def read_answer(text: str) -> Fraction:
    """The number an answer states: 12개, 3,500원, 1.25m, 3/4L, 1과 3/4, 2시간 5분 (in minutes). Raises ValueError."""
    time = re.fullmatch(r"(\d+)시간 (\d+)분", text)
    if time:
        return Fraction(int(time[1]) * 60 + int(time[2]))
    mixed = re.match(r"(\d+)[과와] (\d+)/(\d+)(?!\d)", text)
    if mixed:
        return int(mixed[1]) + Fraction(int(mixed[2]), int(mixed[3]))
    plain = re.match(rf"({_NUMBER})(?:/(\d+))?", text)
    if not plain:
        raise ValueError(f"no number in the answer: {text!r}")
    return Fraction(plain[1].replace(",", "")) / int(plain[2] or 1)


def check(problem: Problem) -> str:
    """Why a problem is wrong, or an empty string: the answer as written must be the value of the expression, every
    equation in the solution must hold, and one of them must reach the answer."""
    wanted = evaluate(problem.expression)
    if wanted < 0:
        return f"negative answer: {wanted}"
    if read_answer(problem.answer) != wanted:
        return f"answer {problem.answer} is not {wanted}"
    reached: set[Fraction] = set()
    for step in problem.steps:
        for left, right, rest in _EQUATION.findall(step):
            plain = left.replace(",", "").replace("×", "*").replace("÷", "/").strip()
            stated = evaluate(right.replace(",", ""))
            if rest:
                above, below = (evaluate(part) for part in plain.split(" / "))
                holds = above == below * stated + int(rest) and int(rest) < below
            else:
                holds = evaluate(plain) == stated
            if not holds:
                return f"wrong equation: {left} = {right}"
            reached |= {stated, Fraction(int(rest))} if rest else {stated}
    if not reached:
        return "no equation in the solution"
    return "" if wanted in reached else f"the solution never reaches {wanted}"


def arithmetic(count: int, seed: int) -> Iterator[Chat]:
    """Up to `count` checked problems as chats, the templates in turn, no question twice.

    Problem i depends on the seed and on what came before it: a larger count begins with the same problems.
    Raises AssertionError when a template makes a wrong problem, which is a bug.
    """
    seen: set[str] = set()
    for i in range(count):
        for draw in range(TRIES):
            template = TEMPLATES[(i + draw // 8) % len(TEMPLATES)]
            problem = template(random.Random(f"arithmetic {VERSION} {seed} {i} {draw}"))
            if problem.question in seen:
                continue
            wrong = check(problem)
            assert not wrong, f"{problem.template}: {wrong}: {problem}"
            seen.add(problem.question)
            yield chat_of(problem, seed)
            break


def chat_of(problem: Problem, seed: int) -> Chat:
    """The problem as question and worked answer."""
    answer = "\n".join([*problem.steps, "", f"답: {problem.answer}"])
    digest = hashlib.blake2b(problem.question.encode(), digest_size=8).hexdigest()
    meta = {
        "kind": "arithmetic",
        "licence": "MIT",
        "synth": {
            "generator": "arithmetic",
            "version": VERSION,
            "seed": seed,
            "template": problem.template,
            "grade": problem.grade,
            "concepts": list(problem.concepts),
            "expression": problem.expression,
            "answer": str(evaluate(problem.expression)),
        },
    }
    messages = [Message("user", problem.question), Message("assistant", answer)]
    return Chat(f"arithmetic-{digest}", messages, "kodata synth arithmetic", meta)
