"""Instructions from a taxonomy of what people learn, after GLAN (arXiv 2402.13064).

discipline -> subjects -> class sessions with key concepts -> a question -> its answer; each arrow is one request. The
taxonomy is this project's own (taxonomy.yaml) or the user's. The prompts ask for plain lists, which small models manage.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from kodata.run.errors import UserError
from kodata.synth.client import Answer, Ask
from kodata.synth.sift import list_items

VERSION = 1
SUBJECTS, SESSIONS = 6, 6
"""Subjects of a discipline and sessions of a subject that are asked for."""
TEACHER = ("system", "당신은 교육 과정을 짜는 한국의 교육 전문가입니다. 한국어로만, 시킨 꼴대로만 적습니다.")
ASKER = (
    "system",
    "당신은 한국어로 좋은 질문을 만드는 출제자입니다. 질문 하나만 적고 답이나 설명은 적지 않습니다.",
)
KINDS = (
    "개념을 설명하게 하는 질문", "두 가지를 견주게 하는 질문", "생활 속의 사례에 적용하게 하는 질문", "흔한 오해를 바로잡게 하는 질문",
    "순서나 절차를 묻는 질문", "까닭과 결과를 따지게 하는 질문", "주어진 조건에서 문제를 풀게 하는 질문", "예를 들어 보이게 하는 질문",
    "표나 목록으로 정리하게 하는 질문", "짧은 글을 쓰게 하는 과제", "주장과 근거를 세우게 하는 질문", "쉬운 말로 풀어 달라는 질문",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """Where one question hangs in the tree; subject and session count from 0."""

    field: str
    discipline: str
    level: str
    subject: int
    session: int
    round: int
    """How often this session was asked about before."""


def read_taxonomy(path: Path | None) -> dict[str, dict[str, list[str]]]:
    """field -> {levels, disciplines}. Raises UserError when the file has another form."""
    import yaml

    if path is None:
        text, name = (
            files("kodata.synth").joinpath("taxonomy.yaml").read_text(encoding="utf-8"),
            "taxonomy.yaml",
        )
    else:
        name = str(path)
        try:
            if path.stat().st_size > 1 << 20:
                raise UserError("1 MB를 넘습니다 (over 1 MB)", file=path)
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"읽을 수 없습니다 (cannot read): {error}", file=path) from None
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"YAML 문법이 틀렸습니다 (bad YAML): {str(error)[:200]}", file=name) from None
    example = "과학:\n  levels: [중등]\n  disciplines: [역학, 천문학]"
    if not isinstance(tree, dict) or not tree:
        raise UserError("분야가 없습니다 (no field)", f"꼴의 예 (the form): {example!r}", file=name)
    for field, entry in tree.items():
        if not isinstance(entry, Mapping) or not all(_names(entry.get(k)) for k in ("levels", "disciplines")):
            raise UserError(
                f"levels 와 disciplines 의 목록이 있어야 합니다 (two lists are needed): {field}",
                f"꼴의 예 (the form): {example!r}",
                file=name,
            )
    return {
        str(field): {k: list(entry[k]) for k in ("levels", "disciplines")} for field, entry in tree.items()
    }


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and v.strip() for v in value)


def leaves(tree: Mapping[str, Mapping[str, list[str]]], count: int, seed: int) -> list[Leaf]:
    """`count` places for questions: disciplines in turn in an order drawn by the seed, then subjects, then sessions."""
    rng = random.Random(f"taxonomy {VERSION} {seed}")
    places = [(field, d) for field, entry in tree.items() for d in entry["disciplines"]]
    rng.shuffle(places)
    levels = {place: rng.choice(tree[place[0]]["levels"]) for place in places}
    out = []
    for i in range(count):
        place, turn = places[i % len(places)], i // len(places)
        out.append(
            Leaf(
                field=place[0], discipline=place[1], level=levels[place],
                subject=turn % SUBJECTS, session=turn // SUBJECTS % SESSIONS, round=turn // (SUBJECTS * SESSIONS),
            )
        )  # fmt: skip
    return out


def requests_for(places: list[Leaf]) -> dict[str, int]:
    """How many requests each stage needs, at most."""
    return {
        "subjects": len({(p.field, p.discipline) for p in places}),
        "sessions": len({(p.field, p.discipline, p.subject) for p in places}),
        "questions": len(places),
        "answers": len(places),
    }


def ask_subjects(place: Leaf, seed: int) -> Ask:
    return Ask(
        (
            TEACHER,
            (
                "user",
                f"'{place.field}' 분야의 '{place.discipline}' 을(를) {place.level} 수준에서 배우는 사람을 위해 과목 {SUBJECTS}개를 정해 주십시오. "
                "한 줄에 하나씩 '- 과목 이름: 한 문장 설명' 꼴로만 적으십시오.",
            ),
        ),
        seed,
    )


def ask_sessions(place: Leaf, subject: str, seed: int) -> Ask:
    return Ask(
        (
            TEACHER,
            (
                "user",
                f"'{place.discipline}'({place.level} 수준)의 과목은 다음과 같습니다.\n{subject}\n\n"
                f"이 과목의 강의를 {SESSIONS}개 차시로 나누십시오. 한 줄에 하나씩 '- 차시 제목: 핵심 개념, 핵심 개념, 핵심 개념' 꼴로만 적으십시오.",
            ),
        ),
        seed,
    )


def ask_question(
    place: Leaf, subject: str, session: str, number: int, seed: int
) -> tuple[Ask, str, list[str]]:
    """(the request, the kind of question, the concepts it is about), drawn by the seed and the number of the item."""
    rng = random.Random(f"taxonomy question {VERSION} {seed} {number}")
    kind = rng.choice(KINDS)
    title, _, rest = session.partition(":")
    concepts = [c.strip() for c in rest.split(",") if c.strip()]
    chosen = rng.sample(concepts, min(len(concepts), rng.choice([1, 1, 2])))
    about = f"차시: {title.strip()}\n" + (f"핵심 개념: {', '.join(chosen)}\n" if chosen else "")
    text = (
        f"분야: {place.field} > {place.discipline} ({place.level} 수준)\n과목: {subject}\n{about}\n"
        f"이 내용을 배운 사람에게 줄 {kind} 하나를 만들어 주십시오. 읽는 사람은 위의 차시를 모르므로, 질문만 읽고도 답할 수 있게 필요한 내용을 모두 담으십시오."
    )
    return Ask((ASKER, ("user", text)), seed + number), kind, chosen


def items(answer: Answer, most: int) -> list[str]:
    """The list of a stage: items that have a name before the colon."""
    found = list_items(answer.text, most, cut=answer.finish == "length")
    return [item for item in found if item.partition(":")[0].strip()]


def pick(values: list[str], index: int) -> str | None:
    """The value at an index, the list begun again when the model gave fewer; None of an empty list."""
    return values[index % len(values)] if values else None


def distinct(places: list[Leaf]) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    """Each discipline once, with a leaf of it."""
    seen = set()
    for place in places:
        key = (place.field, place.discipline)
        if key not in seen:
            seen.add(key)
            yield key, place
