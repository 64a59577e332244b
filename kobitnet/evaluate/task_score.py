"""From what a model said to numbers and a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kobitnet.evaluate import metrics as m
from kobitnet.evaluate.task_run import Answered
from kobitnet.evaluate.tasks import GROUPS, TASKS

NAMES = {
    "acc": "정확도 (accuracy)",
    "acc_norm": "정확도, 글자 수로 나눔 (accuracy, length-normalised)",
    "f1": "F1 (macro)",
    "precision": "정밀도 (precision, macro)",
    "recall": "재현율 (recall, macro)",
    "pearson": "피어슨 상관 (Pearson r)",
    "spearman": "스피어만 상관 (Spearman ρ)",
    "exact_match": "EM (exact match)",
    "character_f1": "글자 F1 (character F1)",
    "rouge1": "ROUGE-1, 형태소 (morphemes)",
    "rouge2": "ROUGE-2, 형태소 (morphemes)",
    "rougeL": "ROUGE-L, 형태소 (morphemes)",
    "bleu": "BLEU, 형태소 (morphemes)",
    "chrf": "chrF, 문항 평균 (mean over items)",
    "meteor": "METEOR, 형태소 (morphemes)",
}


def predictions(answered: Answered) -> list[int]:
    """The likeliest choice of each question; the first of equals."""
    return [int(np.argmax(row["lls"])) for row in answered.rows]


def score(answered: Answered) -> dict[str, m.Estimate]:
    """The metrics of a task, in the order of its definition; none for a judge's task."""
    task, items, rows = answered.loaded.task, answered.items, answered.rows
    if task.kind == "judge" or not rows:
        return {}
    if task.kind == "answer":
        return _score_words(answered)
    gold = [item.gold for item in items]
    said = predictions(answered)
    chance = sum(1 / len(item.choices) for item in items) / len(items)
    out: dict[str, m.Estimate] = {}
    for name in task.metrics:
        if name == "acc":
            out[name] = m.share([a == b for a, b in zip(gold, said, strict=True)], chance)
        elif name == "acc_norm":
            lengths = [[len(c) for c in item.choices] for item in items]
            best = [int(np.argmax(np.array(r["lls"]) / n)) for r, n in zip(rows, lengths, strict=True)]
            out[name] = m.share([a == b for a, b in zip(gold, best, strict=True)], chance)
        elif name in ("precision", "recall", "f1"):
            out[name] = m.macro(gold, said, ("precision", "recall", "f1").index(name))
        else:
            yes = [row["lls"][1] - row["lls"][0] for row in rows]
            truth = [math.nan if item.score is None else item.score for item in items]
            out[name] = (m.pearson if name == "pearson" else m.spearman)(yes, truth)
    return out


def _score_words(answered: Answered) -> dict[str, m.Estimate]:
    names, items = answered.loaded.task.metrics, answered.items
    texts = [row["text"] for row in answered.rows]
    out: dict[str, m.Estimate] = {}
    if "exact_match" in names:
        out["exact_match"] = m.share([m.exact_match(t, i.answers) for t, i in zip(texts, items, strict=True)])
    if "character_f1" in names:
        out["character_f1"] = m.mean(
            [m.character_f1(t, i.answers) for t, i in zip(texts, items, strict=True)]
        )
    if "rouge1" in names:
        from kobitnet.evaluate.text_metrics import corpus_bleu, item_scores

        each = [item_scores(t, i.answers) for t, i in zip(texts, items, strict=True)]
        out |= {
            name: m.mean([e[name] for e in each]) for name in ("rouge1", "rouge2", "rougeL", "chrf", "meteor")
        }
        bleu = corpus_bleu(texts, [i.answers for i in items])
        nan = math.nan
        out["bleu"] = m.Estimate(value=bleu, stderr=nan, low=nan, high=nan, n=len(texts))
    return {name: out[name] for name in names if name in out}


def verdict(answered: Answered, estimate: m.Estimate) -> str:
    """Against chance, and whether the model always gave one and the same answer."""
    words = estimate.verdict
    if answered.loaded.task.kind == "choice" and len({i.choices for i in answered.items}) == 1:
        counts = Counter(predictions(answered))
        if len(counts) == 1 and len(answered.rows) > 1:
            choice = answered.items[0].choices[next(iter(counts))]
            words += f"; 항상 같은 답 (always one answer): {choice}"
    return words


def summary(answered: Sequence[Answered], absent: Mapping[str, str]) -> dict[str, Any]:
    """The machine-readable result."""
    tasks: dict[str, Any] = {}
    for one in answered:
        task = one.loaded.task
        estimates = score(one)
        tasks[task.name] = {
            "kind": task.kind,
            "items": len(one.rows),
            "of": len(one.loaded.items),
            "from": one.loaded.place,
            "metrics": {k: _plain(v) for k, v in estimates.items()},
        }
        if estimates:
            tasks[task.name]["verdict"] = verdict(one, next(iter(estimates.values())))
    groups = {}
    for group, members in GROUPS.items():
        here = [tasks[n] for n in members if n in tasks and "acc" in tasks[n]["metrics"]]
        if len(here) > 1:
            parts = [_estimate(t["metrics"]["acc"]) for t in here]
            groups[group] = {
                "tasks": len(here),
                "of": sum("acc" in TASKS[n].metrics for n in members),
                "acc": _plain(m.pooled(parts)),
            }
    every = [_estimate(t["metrics"]["acc"]) for t in tasks.values() if "acc" in t["metrics"]]
    found: dict[str, Any] = {"accuracy": m.pooled(every).value} if every else {}
    return {**found, "tasks": tasks, "groups": groups, "absent": dict(absent)}


def _plain(e: m.Estimate) -> dict[str, Any]:
    """As JSON, which has no NaN."""
    numbers = {"value": e.value, "stderr": e.stderr, "low": e.low, "high": e.high}
    return {**{k: None if math.isnan(v) else v for k, v in numbers.items()}, "n": e.n, "chance": e.chance}


def _estimate(plain: Mapping[str, Any]) -> m.Estimate:
    numbers = {k: math.nan if plain[k] is None else plain[k] for k in ("value", "stderr", "low", "high")}
    return m.Estimate(**numbers, n=plain["n"], chance=plain["chance"])


def report(answered: Sequence[Answered], found: Mapping[str, Any], shots: int) -> list[dict[str, Any]]:
    """Blocks: the table, accuracies beside chance, classes, examples, conversations for a judge, what was not there."""
    from kodata.report import blocks

    rows, spans = [], []
    for one in answered:
        task = one.loaded.task
        for at, (name, value) in enumerate(found["tasks"][task.name]["metrics"].items()):
            estimate = _estimate(value)
            words = estimate.verdict if at else found["tasks"][task.name]["verdict"]
            rows.append([task.title, NAMES.get(name, name), *_cells(estimate), words])
            if name == "acc":
                spans.append([task.title, *(value[k] for k in ("value", "low", "high", "chance"))])
    for group, value in found["groups"].items():
        estimate = _estimate(value["acc"])
        label = f"{group} 평균 (mean), {value['tasks']}/{value['of']} 과제 (tasks)"
        rows.append([label, NAMES["acc"], *_cells(estimate), estimate.verdict])
    page = [blocks.facts("과제 한눈에 (tasks at a glance)", _glance(answered, found))]
    if spans:
        page.append(
            blocks.intervals(
                "정확도와 우연 수준 (accuracy and chance)",
                spans,
                0,
                1,
                mark="우연 (chance)",
                note="점은 정확도, 막대는 95 % 구간, 세로선은 찍었을 때의 정확도입니다 (dot: accuracy, bar: 95 % interval, line: guessing).",
            )
        )
    page.append(
        blocks.table(
            "과제 (tasks)",
            ["과제 (task)", "지표 (metric)", "값 (value)", "± 표준오차 (stderr)", "95 % 아래 (low)", "95 % 위 (high)",
             "우연 (chance)", "문항 (items)", "판정 (verdict)"],
            rows,
            note=f"풀이 예 {shots}개 ({shots}-shot). 프롬프트와 지표는 lm-evaluation-harness와 같고, KLUE·NSMC·KorQuAD는 그 한국어 브랜치(polyglot)와 같습니다 (prompts and metrics of lm-evaluation-harness, for KLUE, NSMC and KorQuAD of its Korean branch). "
            "95 % 구간: 정확도와 EM은 윌슨, 평균은 정규 근사, 매크로 값은 부트스트랩 1,000번, 상관은 피셔 변환 (intervals: Wilson, normal, bootstrap, Fisher).",
        )
    )  # fmt: skip
    page += _classes(answered)
    page += _examples(answered)
    if found["absent"]:
        page.append(
            blocks.table(
                "파일이 없어 건너뛴 과제 (tasks left out, no data)",
                ["과제 (task)", "까닭 (why)"],
                [[name, why] for name, why in found["absent"].items()],
            )
        )
    return page


def _glance(answered: Sequence[Answered], found: Mapping[str, Any]) -> dict[str, Any]:
    tasks = found["tasks"].values()
    known = [t["verdict"] for t in tasks if t.get("verdict")]
    facts: dict[str, Any] = {
        "과제 · 문항 (tasks, items)": f"{len(answered)} · {sum(len(one.rows) for one in answered):,}"
    }
    if "accuracy" in found:
        facts["정확도, 문항 평균 (accuracy over all items)"] = round(found["accuracy"], 4)
    for name, words in (
        ("우연보다 나은 과제 (better than chance)", "better than"),
        ("우연과 다르지 않은 과제 (not different from chance)", "not different"),
    ):
        facts[name] = f"{sum(words in v for v in known)}/{len(known)}"
    return facts


def _cells(e: m.Estimate) -> list[Any]:
    return [
        *(None if math.isnan(v) else round(v, 4) for v in (e.value, e.stderr, e.low, e.high)),
        e.chance,
        e.n,
    ]


def _classes(answered: Sequence[Answered]) -> list[dict[str, Any]]:
    from kodata.report import blocks

    rows = []
    for one in answered:
        if (
            one.loaded.task.kind != "choice"
            or len({i.choices for i in one.items}) != 1
            or "precision" not in one.loaded.task.metrics
        ):
            continue
        scores = m.class_scores(np.array([i.gold for i in one.items]), np.array(predictions(one)))
        for label, (precision, recall, f1, true) in scores.items():
            rows.append(
                [
                    one.loaded.task.title,
                    one.items[0].choices[label],
                    true,
                    *(round(v, 4) for v in (precision, recall, f1)),
                ]
            )
    if not rows:
        return []
    return [
        blocks.table(
            "클래스별 점수 (by class)",
            [
                "과제 (task)",
                "클래스 (class)",
                "정답 수 (true)",
                "정밀도 (precision)",
                "재현율 (recall)",
                "F1",
            ],
            rows,
        )
    ]


def _examples(answered: Sequence[Answered]) -> list[dict[str, Any]]:
    from kodata.report import blocks

    shown = []
    for one in answered:
        task = one.loaded.task
        for item, row in list(zip(one.items, one.rows, strict=True))[:2]:
            if task.kind == "choice":
                said = int(np.argmax(row["lls"]))
                note = f"답 (said): {item.choices[said]} · 정답 (right): {item.choices[item.gold]}"
            elif task.kind == "answer":
                note = f"답 (said): {row['text'] or '(빈 답, empty)'} · 정답 (right): {' / '.join(item.answers[:3])}"
            else:
                said_text = " / ".join(
                    r if r is not None else "(자리가 없음, no room)" for r in row["responses"]
                )
                note = f"답 (said): {said_text[:300]}"
            text = item.context if item.context else "\n\n".join(item.turns)
            shown.append({"label": f"{task.title} {item.label}".strip(), "text": text[-600:], "note": note})
    return [blocks.samples("문항과 답의 예 (questions and answers)", shown)] if shown else []


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def lines(found: Mapping[str, Any]) -> list[str]:
    """What a terminal user reads: the whole in one line, then one line a task."""
    out = []
    verdicts = [task["verdict"] for task in found["tasks"].values() if task.get("verdict")]
    if len(verdicts) > 1:
        better, level = (sum(w in v for v in verdicts) for w in ("better than", "not different"))
        items = sum(task["items"] for task in found["tasks"].values())
        out.append(
            f"과제 {len(found['tasks'])}개, 문항 {items:,}개: 우연보다 나은 과제 {better}개, 우연과 다르지 않은 과제 {level}개 "
            f"(tasks, items: better than chance, not different from chance)"
        )
    for name, task in found["tasks"].items():
        shown = [
            f"{key} {_shown(v['value'])}" + ("" if v["stderr"] is None else f" ± {v['stderr']:.4f}")
            for key, v in task["metrics"].items()
        ]
        part = "" if task["items"] == task["of"] else f"/{task['of']:,}"
        out.append(
            f"{name}: {', '.join(shown) or '답만 만들었습니다 (answers written for a judge)'} · 문항 (items) {task['items']:,}{part}"
            + (f" · {task['verdict']}" if task.get("verdict") else "")
        )
    for name, group in found["groups"].items():
        acc = group["acc"]
        out.append(
            f"{name} 평균 (mean): acc {acc['value']:.4f} ± {_shown(acc['stderr'])} · {group['tasks']}/{group['of']} 과제 (tasks)"
        )
    if found["absent"]:
        names = list(found["absent"])
        more = f" … 모두 {len(names)}개 (in all)" if len(names) > 6 else ""
        out.append(f"파일이 없어 건너뜀 (left out, no file): {', '.join(names[:6])}{more}")
    return out
