"""Question and answer from an endpoint, stage by stage; what is not kept is handed on with its reason."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kodata.chat.records import Chat, Message
from kodata.synth import selfinstruct, taxonomy
from kodata.synth.client import Answer, Ask, Client
from kodata.synth.sift import Pool, answer_problem, bare_question, list_items, question_problem

Stage = Callable[[str, Client, list[Ask]], Iterator[Answer]]
"""(label, client, requests) -> answers in order."""
ANSWERER = (
    "system",
    "당신은 친절하고 정확한 한국어 비서입니다. 모르는 것은 모른다고 말하고, 지어내지 않습니다.",
)


@dataclass(slots=True)
class Made:
    """A chat, or why there is none."""

    label: str
    """What the report counts it under."""
    chat: Chat | None = None
    reason: str = ""
    value: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """Where a dropped one comes from."""


@dataclass(slots=True)
class _Question:
    text: str
    label: str
    facts: dict[str, Any]


def from_taxonomy(
    tree: Mapping[str, Mapping[str, list[str]]], count: int, seed: int, client: Client, stage: Stage
) -> Iterator[Made]:
    """`count` questions and answers, less what was dropped, in the order of their places in the tree."""
    places = taxonomy.leaves(tree, count, seed)
    firsts = dict(taxonomy.distinct(places))
    asks = [taxonomy.ask_subjects(place, seed) for place in firsts.values()]
    answers = stage("과목 (subjects)", client, asks)
    subjects = {
        key: taxonomy.items(answer, taxonomy.SUBJECTS) for key, answer in zip(firsts, answers, strict=True)
    }

    def subject_of(place: taxonomy.Leaf) -> str | None:
        return taxonomy.pick(subjects[place.field, place.discipline], place.subject)

    wanted: dict[tuple[str, str, str], Ask] = {}
    for place in places:
        subject = subject_of(place)
        if subject:
            key = (place.field, place.discipline, subject)
            wanted.setdefault(key, taxonomy.ask_sessions(place, subject, seed))
    answers = stage("차시 (sessions)", client, list(wanted.values()))
    sessions = {
        key: taxonomy.items(answer, taxonomy.SESSIONS) for key, answer in zip(wanted, answers, strict=True)
    }

    asks, about = [], []
    for number, place in enumerate(places):
        subject = subject_of(place)
        session = (
            taxonomy.pick(sessions[place.field, place.discipline, subject], place.session)
            if subject
            else None
        )
        facts: dict[str, Any] = {"field": place.field, "discipline": place.discipline, "level": place.level}
        if not subject or not session:
            yield Made(place.field, reason="no_list", facts=facts)
            continue
        request, kind, concepts = taxonomy.ask_question(place, subject, session, number, seed)
        facts |= {"subject": subject, "session": session, "question_kind": kind, "concepts": concepts}
        asks.append(request)
        about.append((place.field, facts))
    pool, questions = Pool(), []
    for answer, (label, facts) in zip(stage("질문 (questions)", client, asks), about, strict=True):
        text = bare_question(answer.text)
        facts["prompt_hash"] = answer.hash
        reason = (
            "refused" if answer.problem else "cut" if answer.finish == "length" else question_problem(text)
        )
        if not reason and not pool.take(text):
            reason = "near"
        if reason:
            yield Made(label, reason=reason, value=answer.problem or text[:600], facts=facts)
        else:
            questions.append(_Question(text, label, facts))
    yield from _answered("taxonomy", taxonomy.VERSION, questions, seed, client, stage)


def from_seeds(seeds: list[str], count: int, seed: int, client: Client, stage: Stage) -> Iterator[Made]:
    """`count` new instructions and their answers; ends earlier when rounds bring nothing new."""
    pool = Pool()
    for task in seeds:
        pool.add(task)
    made: list[str] = []
    questions: list[_Question] = []
    stalled = 0
    for number in range(selfinstruct.most_rounds(count)):
        before = len(questions)
        asks = selfinstruct.ask_round(seeds, made, number, seed)
        for answer in stage(f"과제 {number + 1}회 (instructions)", client, asks):
            facts: dict[str, Any] = {"round": number, "prompt_hash": answer.hash}
            if answer.problem:
                yield Made("self-instruct", reason="refused", value=answer.problem, facts=facts)
            for item in list_items(answer.text, 2 * selfinstruct.NEW, cut=answer.finish == "length"):
                if len(questions) >= count:
                    break
                text = bare_question(item)
                reason = question_problem(text) or ("" if pool.take(text) else "near")
                if reason:
                    yield Made("self-instruct", reason=reason, value=text, facts=facts)
                else:
                    questions.append(_Question(text, "self-instruct", facts))
        made = [q.text for q in questions]
        stalled = stalled + 1 if len(questions) == before else 0
        if len(questions) >= count or stalled == selfinstruct.STALLED:
            break
    yield from _answered("self-instruct", selfinstruct.VERSION, questions, seed, client, stage)


def _answered(
    generator: str, version: int, questions: list[_Question], seed: int, client: Client, stage: Stage
) -> Iterator[Made]:
    asks = [Ask((ANSWERER, ("user", q.text)), seed) for q in questions]
    for question, answer in zip(questions, stage("답 (answers)", client, asks), strict=True):
        reason = answer_problem(question.text, answer)
        if reason:
            value = answer.problem or answer.text[:600]
            facts = {**question.facts, "question": question.text}
            yield Made(question.label, reason=reason, value=value, facts=facts)
            continue
        meta = {
            "kind": generator,
            "synth": {
                "generator": generator,
                "version": version,
                "seed": seed,
                "model": client.config.model,
                "fingerprint": answer.fingerprint,
                "endpoint": client.config.host,
                **question.facts,
                "answer_hash": answer.hash,
            },
        }
        digest = hashlib.blake2b(question.text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        messages = [Message("user", question.text), Message("assistant", answer.text.strip())]
        yield Made(question.label, Chat(f"{generator}-{digest}", messages, f"kodata synth {generator}", meta))
