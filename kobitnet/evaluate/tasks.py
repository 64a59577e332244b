"""The tasks: where their rows lie, how a row becomes a question, what is measured. Data and small functions, no more.

Prompts, choices and metrics of KoBEST, HAE-RAE and KMMLU are those of lm-evaluation-harness 0.4; those of KLUE, NSMC and
KorQuAD those of its Korean branch ("polyglot"), since the main one has none. KorNLI has KLUE-NLI's prompt, KorSTS KLUE-STS's.
Rows are read from the official files and from the columns of the Hub data sets alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]


@dataclass(kw_only=True, slots=True)
class Item:
    """One question. Choices are scored as " " + choice after the context, as lm-evaluation-harness does."""

    context: str
    choices: tuple[str, ...] = ()
    gold: int = 0
    score: float | None = None
    """A graded truth (similarity), for correlations."""
    answers: tuple[str, ...] = ()
    """Right answers of a question to be answered in words."""
    turns: tuple[str, ...] = ()
    """What the user says, turn by turn, when a judge will read the answers."""
    label: str = ""
    """Category, id: what a report shows beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One task. `read` raises KeyError or ValueError for a row it cannot use."""

    name: str
    title: str
    kind: Literal["choice", "answer", "judge"]
    read: Callable[[Row], Item | None]
    """A row as a question; None: the row is no question of this task."""
    metrics: tuple[str, ...]
    files: tuple[str, ...]
    """The official names of the file that is scored, as patterns."""
    shots: tuple[str, ...] = ()
    """Files that examples are drawn from; empty: the scored file itself, the question left out."""
    hub: str = ""
    """name:config:split on the Hugging Face Hub."""
    hub_shots: str = ""
    quoted: bool = True
    """Cells of .tsv may be quoted as in CSV (KoBEST); False: quotes are text (KorNLU)."""
    until: tuple[str, ...] = ("\n",)
    """Where a written answer ends."""
    max_new_tokens: int = 64


def value(row: Row, *names: str) -> Any:
    """The first of several column names that the row has (official file first, then Hub)."""
    for name in names:
        if name in row and row[name] is not None:
            return row[name]
    raise KeyError(" | ".join(names))


def words(row: Row, *names: str) -> str:
    """`value` as text."""
    found = value(row, *names)
    if not isinstance(found, str):
        raise ValueError(f"{names[0]}: text expected, not {type(found).__name__}")
    return found


def truth(row: Row, *names: str) -> int:
    """A yes-or-no label as 1 or 0: TRUE, True, 1, …"""
    found = str(value(row, *names)).strip().lower()
    if found not in ("true", "false", "1", "0"):
        raise ValueError(f"{names[0]}: {found!r}")
    return int(found in ("true", "1"))


def index(row: Row, size: int, *names: str, first: int = 0) -> int:
    """A label as 0 .. size - 1; `first` is the number the file calls the first choice."""
    found = int(value(row, *names)) - first
    if not 0 <= found < size:
        raise ValueError(f"{names[0]}: {found + first}")
    return found


# ---- KoBEST -------------------------------------------------------------------------------------


def boolq(row: Row) -> Item:
    context = f"{words(row, 'text', 'paragraph')} 질문: {words(row, 'question')} 답변: "
    return Item(context=context, choices=("아니오", "예"), gold=truth(row, "answer", "label"))


def copa(row: Row) -> Item:
    official = "sentence" in row
    link = {"원인": " 왜냐하면", "결과": " 그래서"}[words(row, "question").strip()]
    choices = (words(row, "1", "alternative_1"), words(row, "2", "alternative_2"))
    gold = index(row, 2, "answer", "label", first=1 if official else 0)
    return Item(
        context=f"{words(row, 'sentence', 'premise')} {link}",
        choices=choices,
        gold=choices.index(choices[gold]),  # as lm-evaluation-harness, which looks the text up
    )


def wic(row: Row) -> Item:
    first, second = words(row, "sentence1", "context_1"), words(row, "sentence2", "context_2")
    context = (
        f"문장1: {first} 문장2: {second} 두 문장에서 {words(row, 'target', 'word')}가 같은 뜻으로 쓰였나?"
    )
    return Item(context=context, choices=("아니오", "예"), gold=truth(row, "answer", "label"))


def hellaswag(row: Row) -> Item:
    choices = tuple(words(row, f"choice{i}", f"ending_{i}") for i in range(1, 5))
    return Item(context=f"문장: {words(row, 'context')}", choices=choices, gold=index(row, 4, "label"))


def sentineg(row: Row) -> Item:
    context = f"문장: {words(row, 'text', 'sentence')} 긍부정:"
    return Item(context=context, choices=("부정", "긍정"), gold=index(row, 2, "label"))


# ---- KLUE, KorNLU, NSMC -------------------------------------------------------------------------

TOPICS = ("과학", "경제", "사회", "생활", "세계", "스포츠", "정치")
_TOPIC_CODES = {"IT과학": 0, "경제": 1, "사회": 2, "생활문화": 3, "세계": 4, "스포츠": 5, "정치": 6}
_NLI = {"entailment": 0, "neutral": 1, "contradiction": 2}


def ynat(row: Row) -> Item:
    label = value(row, "label")
    gold = _TOPIC_CODES[label] if isinstance(label, str) else index(row, 7, "label")
    return Item(context=words(row, "title"), choices=TOPICS, gold=gold)


def nli(row: Row) -> Item:
    label = value(row, "gold_label", "label")
    gold = _NLI[label] if isinstance(label, str) else index(row, 3, "label")
    claim = words(row, "hypothesis", "sentence2").strip()
    claim += "" if claim.endswith(".") else "."
    context = f"{words(row, 'premise', 'sentence1')}\n질문: {claim} 참, 거짓, 중립 중 무엇인가요?\n정답:"
    return Item(context=context, choices=("참", "중립", "거짓"), gold=gold)


def _similar(row: Row, score: float, gold: int) -> Item:
    context = (
        "질문: 문장 1과 문장 2는 서로 유사한 의미를 가지나요?\n"
        f"문장 1: {words(row, 'sentence1')}\n문장 2: {words(row, 'sentence2')}\n정답:"
    )
    return Item(context=context, choices=("아니오", "예"), gold=gold, score=score)


def klue_sts(row: Row) -> Item:
    labels = value(row, "labels")
    return _similar(row, float(labels["real-label"]), index(labels, 2, "binary-label"))


def korsts(row: Row) -> Item:
    score = float(value(row, "score"))
    return _similar(row, score, int(score >= 3))  # KLUE-STS's threshold


def nsmc(row: Row) -> Item:
    return Item(
        context=f"{words(row, 'document')}\n긍정, 부정 중 무엇인가요?\n정답:",
        choices=("부정", "긍정"),
        gold=index(row, 2, "label"),
    )


# ---- questions answered in words ----------------------------------------------------------------


def reading(row: Row) -> Item:
    """KorQuAD 1.0 and KLUE-MRC: flattened SQuAD rows."""
    answers = value(row, "answers")
    texts = answers["text"] if isinstance(answers, Mapping) else [a["text"] for a in answers]
    if row.get("is_impossible"):
        texts = ["대답 불가"]
    if not texts or not all(isinstance(t, str) for t in texts):
        raise ValueError("answers: no text")
    context = f"제목: {words(row, 'title')}\n\n본문: {words(row, 'context')}\n\n질문: {words(row, 'question')}\n\n답:"
    return Item(
        context=context, answers=tuple(dict.fromkeys(texts)), label=str(row.get("id", row.get("guid", "")))
    )


# ---- examinations -------------------------------------------------------------------------------


def haerae(row: Row) -> Item:
    choices = ("(A)", "(B)", "(C)", "(D)", "(E)")
    answer = words(row, "answer").strip()
    return Item(context=words(row, "query"), choices=choices, gold=choices.index(answer))


def kmmlu(row: Row) -> Item:
    options = "".join(f"\n{letter}. {value(row, letter.lower())}" for letter in "ABCD")
    return Item(
        context=f"{words(row, 'question').strip()}{options}\n정답：",
        choices=("A", "B", "C", "D"),
        gold=index(row, 4, "answer", first=1),
        label=str(row.get("category", "")),
    )


# ---- for a judge --------------------------------------------------------------------------------


def conversation(row: Row) -> Item:
    turns = value(row, "turns", "questions")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        raise ValueError("turns: a list of texts expected")
    name = f"{row.get('category', '')} {row.get('question_id', row.get('id', ''))}".strip()
    return Item(context="", turns=tuple(turns), label=name)


# ---- any JSONL ----------------------------------------------------------------------------------


def free(row: Row) -> Item:
    """{"prompt", "choices": […], "answer": index or text}, {"prompt", "answer" or "answers"} or {"turns": […]}."""
    if "turns" in row:
        return conversation(row)
    context = words(row, "prompt", "query", "question", "context")
    if "choices" in row:
        choices = value(row, "choices")
        if (
            not isinstance(choices, list)
            or len(choices) < 2
            or not all(isinstance(c, str) and c for c in choices)
        ):
            raise ValueError("choices: two or more texts expected")
        answer = value(row, "answer", "label", "gold")
        gold = (
            choices.index(answer)
            if isinstance(answer, str)
            else index({"answer": answer}, len(choices), "answer")
        )
        return Item(context=context, choices=tuple(choices), gold=gold, label=str(row.get("id", "")))
    answers = value(row, "answers", "answer", "reference")
    texts = [answers] if isinstance(answers, str) else answers
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise ValueError("answers: a text or a list of texts expected")
    return Item(context=context, answers=tuple(texts), label=str(row.get("id", "")))


# ---- the table ----------------------------------------------------------------------------------

LABELS = ("acc", "f1", "precision", "recall")
QUESTION = ("exact_match", "character_f1")


def _kobest(name: str, title: str, read: Callable[[Row], Item | None], folder: str, **changes: Any) -> Task:
    return Task(
        name=f"kobest_{name}",
        title=f"KoBEST {title}",
        kind="choice",
        read=read,
        files=(f"{name}_test", f"{folder}/test"),
        shots=(f"{name}_train", f"{folder}/train"),
        hub=f"skt/kobest_v1:{name}:test",
        hub_shots=f"skt/kobest_v1:{name}:train",
        **{"metrics": LABELS, **changes},
    )


def _klue(name: str, title: str, read: Callable[[Row], Item | None], **changes: Any) -> Task:
    return Task(
        name=f"klue_{name}",
        title=f"KLUE {title}",
        read=read,
        files=(f"klue-{name}-v*_dev", f"{name}-v*_dev"),
        shots=(f"klue-{name}-v*_train", f"{name}-v*_train"),
        hub=f"klue/klue:{name}:validation",
        hub_shots=f"klue/klue:{name}:train",
        **{"kind": "choice", **changes},
    )


_HAERAE = {
    "general_knowledge": "일반 상식 (general knowledge)",
    "history": "역사 (history)",
    "loan_words": "외래어 (loan words)",
    "rare_words": "드문 말 (rare words)",
    "standard_nomenclature": "표준 용어 (standard nomenclature)",
}
_KMMLU = (
    "Accounting Agricultural-Sciences Aviation-Engineering-and-Maintenance Biology Chemical-Engineering Chemistry "
    "Civil-Engineering Computer-Science Construction Criminal-Law Ecology Economics Education Electrical-Engineering "
    "Electronics-Engineering Energy-Management Environmental-Science Fashion Food-Processing "
    "Gas-Technology-and-Engineering Geomatics Health Industrial-Engineer Information-Technology "
    "Interior-Architecture-and-Design Korean-History Law Machine-Design-and-Manufacturing Management "
    "Maritime-Engineering Marketing Materials-Engineering Math Mechanical-Engineering Nondestructive-Testing Patent "
    "Political-Science-and-Sociology Psychology Public-Safety Railway-and-Automotive-Engineering Real-Estate "
    "Refrigerating-Machinery Social-Welfare Taxation Telecommunications-and-Wireless-Technology"
).split()

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _kobest("boolq", "BoolQ 예·아니오 (yes or no)", boolq, "BoolQ"),
        _kobest("copa", "COPA 원인·결과 (cause or effect)", copa, "COPA"),
        _kobest("wic", "WiC 낱말 뜻 (word sense)", wic, "WiC"),
        _kobest("hellaswag", "HellaSwag 이어질 문장 (what follows)", hellaswag, "HellaSwag", metrics=("acc", "acc_norm", "f1")),
        _kobest("sentineg", "SentiNeg 부정문 감정 (negated sentiment)", sentineg, "SentiNeg"),
        _klue("ynat", "YNAT 기사 주제 (topic)", ynat, metrics=LABELS),
        _klue("nli", "NLI 추론 (inference)", nli, metrics=LABELS),
        _klue("sts", "STS 유사도 (similarity)", klue_sts, metrics=("acc", "f1", "pearson", "spearman")),
        _klue("mrc", "MRC 독해 (reading)", reading, kind="answer", metrics=QUESTION),
        Task(
            name="korquad", title="KorQuAD 1.0 독해 (reading)", kind="answer", read=reading, metrics=QUESTION,
            files=("KorQuAD_v1.0_dev",), shots=("KorQuAD_v1.0_train",),
            hub="KorQuAD/squad_kor_v1:squad_kor_v1:validation", hub_shots="KorQuAD/squad_kor_v1:squad_kor_v1:train",
        ),
        Task(
            name="kornli", title="KorNLI 추론 (inference)", kind="choice", read=nli, metrics=LABELS, quoted=False,
            files=("xnli.test.ko", "xnli.dev.ko"), shots=("multinli.train.ko", "snli_1.0_train.ko"),
            hub="kakaobrain/kor_nli:xnli:test", hub_shots="kakaobrain/kor_nli:multi_nli:train",
        ),
        Task(
            name="korsts", title="KorSTS 유사도 (similarity)", kind="choice", read=korsts, quoted=False,
            metrics=("pearson", "spearman", "acc", "f1"),
            files=("sts-test", "sts-dev"), shots=("sts-train",),
            hub="kakaobrain/kor_nlu:sts:test", hub_shots="kakaobrain/kor_nlu:sts:train",
        ),
        Task(
            name="nsmc", title="NSMC 영화평 감정 (film review sentiment)", kind="choice", read=nsmc, metrics=LABELS, quoted=False,
            files=("ratings_test",), shots=("ratings_train",),
            hub="e9t/nsmc:default:test", hub_shots="e9t/nsmc:default:train",
        ),
        *(
            Task(
                name=f"haerae_{name}", title=f"HAE-RAE {title}", kind="choice", read=haerae, metrics=("acc", "acc_norm"),
                files=(f"{name}_test", name), hub=f"HAERAE-HUB/HAE_RAE_BENCH:{name}:test",
            )
            for name, title in _HAERAE.items()
        ),
        *(
            Task(
                name=f"kmmlu_{name.lower().replace('-', '_')}", title=f"KMMLU {name}", kind="choice", read=kmmlu, metrics=("acc",),
                files=(f"{name}-test",), shots=(f"{name}-dev",),
                hub=f"HAERAE-HUB/KMMLU:{name}:test", hub_shots=f"HAERAE-HUB/KMMLU:{name}:dev",
            )
            for name in _KMMLU
        ),
        Task(
            name="komtbench", title="KoMT-Bench 두 번 주고받기 (two turns, for a judge)", kind="judge", read=conversation, metrics=(),
            files=("question_ko",), hub="LGAI-EXAONE/KoMT-Bench:default:train", max_new_tokens=512,
        ),
        Task(
            name="logickor", title="LogicKor 두 번 주고받기 (two turns, for a judge)", kind="judge", read=conversation, metrics=(),
            files=("logickor_questions", "logickor", "questions"), hub="maywell/LogicKor:default:train", max_new_tokens=512,
        ),
    )
}  # fmt: skip

GROUPS: dict[str, tuple[str, ...]] = {
    "kobest": tuple(n for n in TASKS if n.startswith("kobest_")),
    "klue": tuple(n for n in TASKS if n.startswith("klue_")),
    "kornlu": ("kornli", "korsts"),
    "haerae": tuple(n for n in TASKS if n.startswith("haerae_")),
    "kmmlu": tuple(n for n in TASKS if n.startswith("kmmlu_")),
}
