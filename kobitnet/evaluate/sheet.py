"""kobitnet sheet: two models' answers side by side for human judges who do not know which is which, and the count."""

import csv
import io
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from kodata.run.errors import UsageError, UserError
from kodata.run.flags import Fresh, Parameter, Seed
from kodata.run.result import Result

COLUMNS = (
    "번호 (number)",
    "물음 (question)",
    "왼쪽 (left)",
    "오른쪽 (right)",
    "판정 (verdict): 왼쪽·오른쪽·비김",
    "메모 (note)",
)
VERDICTS = {
    "왼쪽": 1, "왼": 1, "left": 1, "l": 1, "오른쪽": -1, "오른": -1, "right": -1, "r": -1, "비김": 0, "tie": 0, "t": 0, "=": 0,
}  # fmt: skip
MAX_BYTES = 256 << 20


def sheet(
    inputs: Annotated[
        list[str],
        Parameter(
            negative=(),
            help="답 JSONL 두 개 (kobitnet generate·eval 의 출력); --key 를 주면 채워 온 평가지들 (two answer files; with --key the filled sheets)",
        ),
    ],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="만들 평가지 CSV (sheet to write)")
    ] = None,
    key: Annotated[
        Path | None,
        Parameter(
            help="평가지와 함께 만든 열쇠 파일: 채워 온 평가지를 채점 (the key written with the sheet: count filled sheets)"
        ),
    ] = None,
    seed: Seed = 0,
    fresh: Fresh = False,
) -> Result:
    """사람 평가지를 만들고 채점합니다: 두 모델의 답을 이름을 가린 채 나란히 (a blinded side-by-side sheet, and its count)

    `sheet A.jsonl B.jsonl -o sheet.csv` writes the sheet, rows and sides in random order, and beside it sheet.csv.run/key.json, which
    stays with you. Each judge writes 왼쪽, 오른쪽 or 비김 (left, right, tie) in the verdict column. `sheet FILLED.csv … --key
    sheet.csv.run/key.json` counts: how often the first model was preferred (ties half), with a 95 % interval (Wilson's) over questions.
    """
    if key is not None:
        if output is not None:
            raise UsageError(
                "--key 와 -o 는 함께 쓸 수 없습니다 (--key and -o exclude each other)",
                "kobitnet sheet FILLED.csv --key KEY",
            )
        return _count(inputs, key)
    if len(inputs) != 2 or output is None:
        raise UsageError(
            f"답 파일 둘과 -o 가 필요합니다 (two answer files and -o are needed), 받은 것 (given): {len(inputs)}",
            "kobitnet sheet A.jsonl B.jsonl -o sheet.csv",
        )
    return _write(inputs, output, seed, fresh)


# ---- writing ------------------------------------------------------------------------------------


def _write(inputs: list[str], output: Path, seed: int, fresh: bool) -> Result:
    from kodata.run.files import atomic_json, atomic_open
    from kodata.run.folder import open_run

    answers = [_by_name(Path(path)) for path in inputs]
    both = [name for name in answers[0] if name in answers[1] and answers[0][name][0] == answers[1][name][0]]
    if not both:
        raise UserError(
            f"두 파일에 같은 물음이 없습니다 (no question is in both files): {', '.join(inputs)}",
            "같은 --prompts 로 만든 답을 주십시오 (give answers to the same prompts)",
        )
    alone = sum(len(a) for a in answers) - 2 * len(both)
    with open_run(
        output, tool="kobitnet", verb="sheet", config={}, inputs=inputs, seed=seed, fresh=fresh, kind="file"
    ) as run:
        if run.done:
            return run.result()
        rng = random.Random(seed)
        order = list(both)
        rng.shuffle(order)
        first_left = [rng.random() < 0.5 for _ in order]
        with atomic_open(output, "w", encoding="utf-8-sig") as handle:
            writer = csv.writer(handle)
            writer.writerow(COLUMNS)
            for number, (name, left) in enumerate(zip(order, first_left, strict=True), 1):
                question = answers[0][name][0]
                said = [answers[i][name][1] for i in ((0, 1) if left else (1, 0))]
                writer.writerow([number, *map(_safe, (question, *said)), "", ""])
        rows = [
            {"number": i, "id": n, "first_left": left}
            for i, (n, left) in enumerate(zip(order, first_left, strict=True), 1)
        ]
        atomic_json(run.path / "key.json", {"models": inputs, "rows": rows})
        from kodata.report import blocks

        facts = {"물음 (questions)": len(both), "한쪽에만 있어 뺌 (only in one file)": alone}
        return run.finish(
            summary={"questions": len(both), "only_in_one": alone},
            report=[blocks.facts("사람 평가지 (sheet for human evaluation)", facts)],
            lines=[
                *(f"{name}: {number:,}" for name, number in facts.items()),
                f"열쇠, 평가자에게 주지 마십시오 (the key, not for the judges): {run.path / 'key.json'}",
                f"다음 (next): kobitnet sheet {output} --key {run.path / 'key.json'}",
            ],
        )


def _by_name(path: Path) -> dict[str, tuple[str, str]]:
    """The answers of a file by id; ids that come again are numbered, so that no question is lost."""
    out: dict[str, tuple[str, str]] = {}
    times: dict[str, int] = {}
    for name, both in _answers(path):
        times[name] = times.get(name, 0) + 1
        out[name if times[name] == 1 else f"{name} ({times[name]})"] = both
    return out


def _answers(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """id -> (question, answer) of a file of `kobitnet generate --prompts` or of a judge's task of `kobitnet eval`."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "responses" in row:
                question = "\n\n".join(f"{i}. {turn}" for i, turn in enumerate(row["turns"], 1))
                answer = "\n\n".join(f"{i}. {r or ''}" for i, r in enumerate(row["responses"], 1))
                yield str(row.get("label") or number), (question, answer)
            else:
                question = "\n\n".join(str(m["content"]) for m in row["prompt"])
                yield str(row["id"]), (question, str(row["response"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"답의 기록이 아닙니다 (not a record of answers): {str(error)[:120]}",
                "kobitnet generate --prompts … -o A.jsonl 의 결과를 주십시오 (give its output)",
                file=path,
                line=number,
            ) from None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"파일이 너무 큽니다 (file over {MAX_BYTES >> 20} MB)", file=path)
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"읽을 수 없습니다 (cannot read): {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(
            "UTF-8이 아닙니다 (not UTF-8)", "CSV UTF-8로 저장하십시오 (save as CSV UTF-8)", file=path
        ) from None


def _safe(cell: str) -> str:
    """A spreadsheet runs cells that begin like a formula; an apostrophe makes them text."""
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell


# ---- counting -----------------------------------------------------------------------------------


def _count(inputs: Sequence[str], key: Path) -> Result:
    from kobitnet.evaluate.metrics import share
    from kodata.report import blocks

    models, sides = _key(key)
    judges = {path: _verdicts(Path(path), sides) for path in inputs}
    shares: list[float] = []
    wins = ties = losses = 0
    for number in sides:
        marks = [v[number] for v in judges.values() if number in v]
        wins, ties, losses = (n + marks.count(x) for n, x in ((wins, 1), (ties, 0), (losses, -1)))
        if marks:
            shares.append(sum(0.5 + mark / 2 for mark in marks) / len(marks))
    if not shares:
        raise UserError(
            f"판정이 하나도 없습니다 (no verdict in the sheets): {', '.join(inputs)}",
            "판정 칸에 왼쪽, 오른쪽, 비김 가운데 하나를 적습니다 (write left, right or tie)",
        )
    e = share(shares, chance=0.5)  # no interval of a mean between 0 and 1 need be wider: ties narrow it
    verdict = e.verdict
    agreement, kappa = _agreement(list(judges.values()))
    summary: dict[str, Any] = {
        "models": models, "judges": len(judges), "questions": len(shares), "first_wins": wins, "ties": ties,
        "second_wins": losses, "first_preferred": e.value, "stderr": None if e.stderr != e.stderr else e.stderr,
        "low": e.low, "high": e.high,
        "agreement": agreement, "kappa": kappa, "verdict": verdict,
    }  # fmt: skip
    facts = {
        "첫 모델 (first)": models[0],
        "둘째 모델 (second)": models[1],
        "첫 모델이 나음 · 비김 · 둘째가 나음 (wins, ties, losses)": f"{wins} · {ties} · {losses}",
        "첫 모델을 고른 비율, 비김은 반 (first preferred, ties half)": f"{e.value:.3f} (95 % {e.low:.3f} – {e.high:.3f})",
        "판정 (verdict)": verdict,
        "평가자 사이 일치, κ (judges agree, Cohen's kappa)": "평가자 하나 (one judge)"
        if agreement is None
        else f"{agreement:.3f}, κ {kappa:.3f}"
        if kappa is not None
        else f"{agreement:.3f}",
    }
    return Result(
        summary=summary,
        report=[blocks.facts("사람 평가 (human evaluation)", facts)],
        lines=[f"{name}: {value}" for name, value in facts.items()],
    )


def _key(path: Path) -> tuple[list[str], dict[int, bool]]:
    from kodata.run.files import read_json_object

    content = read_json_object(path)
    try:
        models = [str(name) for name in content["models"]]
        sides = {int(row["number"]): bool(row["first_left"]) for row in content["rows"]}
    except (KeyError, TypeError, ValueError):
        models, sides = [], {}
    if len(models) != 2 or not sides:
        raise UserError(
            "평가지의 열쇠가 아닙니다 (not the key of a sheet)",
            "sheet.csv.run/key.json 을 주십시오 (give sheet.csv.run/key.json)",
            file=path,
        )
    return models, sides


def _verdicts(path: Path, sides: dict[int, bool]) -> dict[int, int]:
    """Question number -> 1 the first model, 0 a tie, -1 the second. Empty verdicts are left out; unknown words refused."""
    out: dict[int, int] = {}
    try:
        rows = list(csv.reader(io.StringIO(_text(path), newline="")))
    except csv.Error as error:
        raise UserError(f"CSV가 깨졌습니다 (broken CSV): {error}", file=path) from None
    if not rows or len(rows[0]) < 5 or "verdict" not in rows[0][4]:
        raise UserError(
            "평가지가 아닙니다 (not a sheet)",
            "kobitnet sheet 가 쓴 CSV를 채워 주십시오 (fill in the CSV it wrote)",
            file=path,
        )
    for line, row in enumerate(rows[1:], 2):
        word = row[4].strip().lower() if len(row) > 4 else ""
        if not word:
            continue
        number = int(row[0]) if re.fullmatch(r"\d{1,9}", row[0].strip()) else -1
        if word not in VERDICTS or number not in sides:
            raise UserError(
                f"판정이나 번호를 알 수 없습니다 (unknown verdict or number): {row[0]!r} {row[4]!r}",
                "왼쪽, 오른쪽, 비김 (left, right, tie)",
                file=path,
                line=line,
            )
        mark = VERDICTS[word]
        out[number] = mark if sides[number] else -mark
    return out


def _agreement(judges: list[dict[int, int]]) -> tuple[float | None, float | None]:
    """Mean over pairs of judges of the share of equal verdicts and of Cohen's kappa; None with one judge."""
    same, kappas = [], []
    for i, a in enumerate(judges):
        for b in judges[i + 1 :]:
            common = [n for n in a if n in b]
            if not common:
                continue
            observed = sum(a[n] == b[n] for n in common) / len(common)
            by_chance = (
                sum(
                    sum(a[n] == mark for n in common) * sum(b[n] == mark for n in common)
                    for mark in (-1, 0, 1)
                )
                / len(common) ** 2
            )
            same.append(observed)
            if by_chance < 1:
                kappas.append((observed - by_chance) / (1 - by_chance))
    return (sum(same) / len(same) if same else None, sum(kappas) / len(kappas) if kappas else None)
