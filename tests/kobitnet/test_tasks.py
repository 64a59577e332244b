"""Task files in official and Hub columns, broken ones, unknown names; the verb on both backends, resumed, judged."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kobitnet.evaluate import task_run, task_score
from kobitnet.evaluate.task_files import Loaded, load_tasks, wanted
from kobitnet.evaluate.task_rows import rows_of
from kobitnet.evaluate.tasks import GROUPS, TASKS, Item, boolq, copa, hellaswag, kmmlu, nli, wic
from kobitnet.evaluate.verb import EvalConfig, evaluate
from kodata.run.errors import UsageError, UserError

from .random_toy import random_run

BOOLQ = """ID\tText\tQuestion\tAnswer
1\t달래는 봄에 나는 풀이다.\t달래는 봄에 나는가?\tTRUE
2\t그 다리는 나무로 지었다.\t다리는 돌로 지었는가?\tFalse
3\t우체국은 아홉 시에 연다.\t우체국은 열 시에 여는가?\tFALSE
4\t"그는 ""간다""고 말했다."\t그는 말했는가?\tTrue
"""
COPA = """ID\tsentence\tquestion\t1\t2\tAnswer
1\t소나기가 왔다.\t결과\t길이 젖었다.\t길이 말랐다.\t1
2\t아이가 웃었다.\t원인\t장난감을 잃었다.\t선물을 받았다.\t2
3\t불이 꺼졌다.\t결과\t방이 어두워졌다.\t방이 밝아졌다.\t1
"""
SWAG = """context\tchoice1\tchoice2\tchoice3\tchoice4\tlabel
문을 연다.\t들어간다.\t날아간다.\t녹는다.\t잠긴다.\t0
물을 끓인다.\t얼린다.\t라면을 넣는다.\t잔다.\t뛴다.\t1
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "boolq_test.tsv").write_text("\ufeff" + BOOLQ.replace("\n", "\r\n"))
    (folder / "boolq_train.tsv").write_text(BOOLQ)
    (folder / "copa_test.tsv.gz").write_bytes(gzip.compress(COPA.encode()))
    (folder / "HellaSwag").mkdir()
    (folder / "HellaSwag" / "test.tsv").write_text(SWAG)
    paragraphs = [
        {"context": "등대는 1902년에 세워졌다.",
         "qas": [{"id": "a", "question": "언제 세워졌나?", "answers": [{"text": "1902년", "answer_start": 4}] * 2}]}
    ]  # fmt: skip
    (folder / "KorQuAD_v1.0_dev.json").write_text(
        json.dumps({"data": [{"title": "등대", "paragraphs": paragraphs}]})
    )
    (folder / "question_ko.jsonl").write_text(
        json.dumps({"question_id": 1, "category": "글", "turns": ["봄을 한 줄로 써 줘.", "더 짧게."]}) + "\n"
    )
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return random_run(tmp_path_factory.mktemp("pretrained"))


def test_official_rows_and_hub_rows_are_one_question(files):
    [ours], _ = load_tasks(["kobest_boolq"], files, shots=False)
    assert [item.gold for item in ours.items] == [1, 0, 0, 1]
    assert ours.items[3].context == '그는 "간다"고 말했다. 질문: 그는 말했는가? 답변: '
    hub = {"paragraph": "달래는 봄에 나는 풀이다.", "question": "달래는 봄에 나는가?", "label": 1}
    assert boolq(hub) == ours.items[0]
    [ours], _ = load_tasks(["kobest_copa"], files, shots=False)
    assert ours.items[1].context == "아이가 웃었다.  왜냐하면" and ours.items[1].gold == 1
    hub = {
        "premise": "소나기가 왔다.",
        "question": "결과",
        "alternative_1": "길이 젖었다.",
        "alternative_2": "길이 말랐다.",
        "label": 0,
    }
    assert copa(hub) == ours.items[0]
    [ours], _ = load_tasks(["kobest_hellaswag"], files, shots=False)
    hub = {
        "context": "문을 연다.",
        "ending_1": "들어간다.",
        "ending_2": "날아간다.",
        "ending_3": "녹는다.",
        "ending_4": "잠긴다.",
        "label": 0,
    }
    assert hellaswag(hub) == ours.items[0]
    official = {"target": "배", "sentence1": "[배]를 탔다.", "sentence2": "[배]를 깎았다.", "answer": "False"}
    assert wic(official) == wic(
        {"word": "배", "context_1": "[배]를 탔다.", "context_2": "[배]를 깎았다.", "label": 0}
    )
    assert nli({"premise": "비가 온다", "hypothesis": "해가 난다", "gold_label": "contradiction"}).gold == 2
    exam = {"question": " 둘에 셋을 더하면? ", "a": "4", "b": "5", "c": "6", "d": "7", "answer": 2}
    assert kmmlu(exam) == Item(
        context="둘에 셋을 더하면?\nA. 4\nB. 5\nC. 6\nD. 7\n정답：", choices=("A", "B", "C", "D"), gold=1
    )


def test_quotes_are_text_where_the_file_says_so(tmp_path):
    (tmp_path / "xnli.test.ko.tsv").write_text('sentence1\tsentence2\tgold_label\n"가자"\t간다\tneutral\n')
    [[_, row]] = rows_of(tmp_path / "xnli.test.ko.tsv", quoted=False)
    assert row["sentence1"] == '"가자"'
    [loaded], _ = load_tasks(["kornli"], tmp_path, shots=False)
    assert loaded.items[0].context.startswith('"가자"\n')


def test_names():
    assert dict(wanted(["kobest,klue_nli", "kobest_copa"])) == {
        **dict.fromkeys(GROUPS["kobest"], False), "klue_nli": True, "kobest_copa": True,
    }  # fmt: skip
    with pytest.raises(UsageError, match="kobset") as caught:
        wanted(["kobset"])
    assert "kobest" in caught.value.help
    assert set(GROUPS["kobest"]) <= set(TASKS) and len(GROUPS["kmmlu"]) == 45


def test_missing_members_of_a_group_are_told_and_missing_tasks_refused(files, tmp_path):
    loaded, absent = load_tasks(["kobest"], files, shots=False)
    assert [one.task.name for one in loaded] == ["kobest_boolq", "kobest_copa", "kobest_hellaswag"]
    assert sorted(absent) == ["kobest_sentineg", "kobest_wic"]
    with pytest.raises(UserError, match="no file for task kobest_wic") as caught:
        load_tasks(["kobest_wic"], files, shots=False)
    assert "wic_test" in caught.value.help
    with pytest.raises(UserError, match="none of the tasks"):
        load_tasks(["kmmlu"], files, shots=False)
    with pytest.raises(UserError, match="no such task folder"):
        load_tasks(["kobest"], tmp_path / "nowhere", shots=False)
    with pytest.raises(UserError, match="no such task file"):
        load_tasks([str(tmp_path / "mine.jsonl")], None, shots=False)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("boolq_test.tsv", BOOLQ.replace("TRUE", "아마").encode(), r"boolq_test.tsv:2: .*아마"),
        ("boolq_test.tsv", BOOLQ.rsplit("\t", 1)[0].encode(), r":5: .*columns differ.*3"),
        ("boolq_test.tsv", BOOLQ.replace("Question", "Frage").encode(), r":2: .*question.*frage"),
        ("boolq_test.tsv", BOOLQ.split("\n")[0].encode(), "no questions"),
        ("boolq_test.tsv", b"", "no questions"),
        ("boolq_test.tsv", BOOLQ.encode("cp949"), "not UTF-8"),
        (
            "boolq_test.tsv",
            BOOLQ.encode()[: BOOLQ.encode().rindex("다".encode()) + 2],
            "middle of a character",
        ),
        ("boolq_test.tsv.gz", gzip.compress(BOOLQ.encode())[:-30], "truncated|damaged"),
        ("boolq_test.tsv.gz", b"\x1f\x8b\x08\x00nonsense, nothing else", "truncated|damaged"),
        ("boolq_test.jsonl", b'{"paragraph": "a"\n', r":1: .*broken JSON"),
        ("boolq_test.jsonl", b"[1]\n", "JSON object"),
        ("boolq_test.json", b'{"version": 1}', "list of objects"),
        ("boolq_test.json", b'{"data": [{"paragraphs": [{}]}]}', "SQuAD"),
        ("boolq_test.json", b"[" * 100_000, "broken JSON"),
        ("boolq_test.json", b'[{"paragraph": "a", "question": "b", "label": Infinity}]', "not a row"),
        ("boolq_test.parquet", b"PAR1 nothing", "Parquet"),
    ],
)
def test_broken_files_name_file_and_line(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=words):
        load_tasks(["kobest_boolq"], tmp_path, shots=False)


def test_two_files_for_one_task_are_refused(files, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "copa_test.tsv").write_text(COPA)
    with pytest.raises(UserError, match="several files"):
        load_tasks(["kobest_copa"], tmp_path, shots=False)


# ---- prompts ------------------------------------------------------------------------------------


def test_examples_are_drawn_as_the_harness_draws_them(files):
    [loaded], _ = load_tasks(["kobest_boolq"], files, shots=True)
    assert not loaded.own_pool
    drawn = [context for _, context in task_run.contexts(loaded, 2, None)]
    draw = random.Random(1234)
    for item, context in zip(loaded.items, drawn, strict=True):
        first, second = draw.sample(loaded.pool, 2)
        assert (
            context == "".join(f"{i.context} {i.choices[i.gold]}\n\n" for i in (first, second)) + item.context
        )
    [alone], _ = load_tasks(["kobest_copa"], files, shots=True)
    for item, context in task_run.contexts(alone, 2, None):
        assert context.count("\n\n") == 2 and task_run.solved(item) not in context


class Bytes:
    """A tokenizer whose ids are bytes."""

    eot_id = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


def test_pairs_are_cut_as_the_harness_cuts_them():
    assert task_run.encode_pair(Bytes(), "답: ", " 예") == (list("답:".encode()), list("  예".encode()))
    assert task_run.encode_pair(Bytes(), "", " a") == ([256], list(b" a"))
    assert task_run.encode_pair(Bytes(), "  ", "a") == ([256], list(b"  a"))


class Recorder:
    """A backend of six positions that notes what it is asked."""

    positions = 6
    tokenizer = Bytes()

    def __init__(self):
        self.asked = []

    def loglikelihoods(self, context, continuations):
        self.asked.append((context, continuations))
        return [-float(len(c)) for c in continuations]


def test_long_contexts_lose_their_beginning_and_long_choices_are_refused():
    backend = Recorder()
    assert task_run.choice_scores(backend, "abcdefgh", ["x", "yz"]) == [-2.0, -3.0]
    assert backend.asked == [(list(b"efgh"), [list(b" x")]), (list(b"fgh"), [list(b" yz")])]
    with pytest.raises(UserError, match="longer than the model"):
        task_run.choice_scores(backend, "a", ["longer"])


def test_a_model_that_computes_nan_gets_no_score(monkeypatch):
    backend = Recorder()
    monkeypatch.setattr(backend, "loglikelihoods", lambda context, choices: [float("nan")] * len(choices))
    with pytest.raises(UserError, match="NaN or infinity"):
        task_run.choice_scores(backend, "a", ["x", "y"])


# ---- the verb -----------------------------------------------------------------------------------


def test_both_backends_give_the_same_accuracies(run, files):
    found = {
        backend: evaluate(
            run, tasks=["kobest", "korquad"], tasks_dir=files, config=EvalConfig(backend=backend)
        )
        for backend in ("torch", "engine")
    }
    tasks = {name: result.summary["tasks"] for name, result in found.items()}
    for name in ("kobest_boolq", "kobest_copa", "kobest_hellaswag", "korquad"):
        assert tasks["torch"][name]["metrics"] == tasks["engine"][name]["metrics"]
    assert found["torch"].summary["groups"]["kobest"]["tasks"] == 3
    assert any("kobest_wic" in line for line in found["engine"].lines)
    titles = [block["title"] for block in found["engine"].report]
    assert titles[2] == "과제 (tasks)" and any("size and arithmetic energy" in t for t in titles)


def test_an_interrupted_evaluation_goes_on_and_ends_with_the_same_numbers(run, files, tmp_path, monkeypatch):
    whole = evaluate(
        run, tasks=["kobest"], tasks_dir=files, output=tmp_path / "whole", config=EvalConfig(backend="engine")
    )
    asked = []
    real = task_run.choice_scores

    def stumbling(backend, context, choices):
        asked.append(context)
        if len(asked) == 6:
            raise KeyboardInterrupt
        return real(backend, context, choices)

    arguments = {
        "tasks": ["kobest"],
        "tasks_dir": files,
        "output": tmp_path / "cut",
        "config": EvalConfig(backend="engine"),
    }
    monkeypatch.setattr(task_run, "choice_scores", stumbling)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, **arguments)
    with open(tmp_path / "cut" / "tasks" / "kobest_copa.jsonl", "ab") as handle:
        handle.write(b'{"lls": [-1.0')  # killed in the middle of a line
    again = evaluate(run, **arguments)
    assert len(asked) == 6 + 9 - 5  # the five answered ones were not asked again
    assert again.summary["tasks"] == whole.summary["tasks"]
    for name in ("kobest_boolq", "kobest_copa"):
        cut, straight = (tmp_path / x / "tasks" / f"{name}.jsonl" for x in ("cut", "whole"))
        assert cut.read_bytes() == straight.read_bytes()
    assert evaluate(run, **arguments).lines[-1].endswith("(already done)")
    with pytest.raises(UserError, match="fewshot"):
        evaluate(run, **{**arguments, "config": EvalConfig(backend="engine", fewshot=1)})


def test_limit_takes_the_first_questions(run, files):
    task = evaluate(
        run, tasks=["kobest_boolq"], tasks_dir=files, limit=2, config=EvalConfig(backend="engine")
    )
    assert task.summary["tasks"]["kobest_boolq"]["items"] == 2 and "2/4" in task.lines[0]


def test_a_judges_questions_need_a_model_that_learned_to_chat(run, files, tmp_path):
    with pytest.raises(UserError, match="without a chat template"):
        evaluate(run, tasks=["komtbench"], tasks_dir=files)
    model = random_run(tmp_path / "sft", stage="sft")
    result = evaluate(
        model,
        tasks=["komtbench"],
        tasks_dir=files,
        output=tmp_path / "out",
        config=EvalConfig(backend="engine"),
    )
    [row] = map(json.loads, (tmp_path / "out" / "tasks" / "komtbench.jsonl").read_text().splitlines())
    assert (
        row["label"] == "글 1"
        and len(row["responses"]) == 2
        and all(isinstance(r, str) for r in row["responses"])
    )
    assert result.summary["tasks"]["komtbench"]["metrics"] == {}
    short = random_run(tmp_path / "short", stage="sft", positions=32)
    evaluate(
        short,
        tasks=["komtbench"],
        tasks_dir=files,
        output=tmp_path / "none",
        config=EvalConfig(backend="engine"),
    )
    [row] = map(json.loads, (tmp_path / "none" / "tasks" / "komtbench.jsonl").read_text().splitlines())
    assert row["responses"] == [None, None]


def test_any_jsonl(run, tmp_path):
    mine = tmp_path / "mine.jsonl"
    mine.write_text(
        '{"prompt": "하늘은", "choices": ["푸르다", "네모다"], "answer": 0}\n{"prompt": "물은", "choices": ["흐른다", "난다"], "answer": "흐른다"}\n'
    )
    result = evaluate(run, tasks=[str(mine)], config=EvalConfig(backend="engine"))
    assert result.summary["tasks"]["mine"]["items"] == 2
    mine.write_text(
        '{"prompt": "하늘은", "choices": ["푸르다", "네모다"], "answer": 0}\n{"prompt": "물은", "answer": "흐른다"}\n'
    )
    with pytest.raises(UserError, match="several kinds"):
        evaluate(run, tasks=[str(mine)])
    mine.write_text('{"prompt": "하늘은", "choices": ["푸르다", "네모다"], "answer": 2}\n')
    with pytest.raises(UserError, match=r"mine\.jsonl:1"):
        evaluate(run, tasks=[str(mine)])


def test_files_of_one_name_are_refused(tmp_path):
    for name in ("a", "b"):  # their answers would be recorded in one file
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.jsonl").write_text(
            '{"prompt": "하늘은", "choices": ["푸르다", "네모다"], "answer": 0}\n'
        )
    with pytest.raises(UserError, match=r"two tasks of one name.*mine"):
        load_tasks(
            [str(tmp_path / "a" / "mine.jsonl"), str(tmp_path / "b" / "mine.jsonl")], None, shots=False
        )
    (tmp_path / "a" / "mine.jsonl").write_text(
        '{"prompt": "하늘은", "choices": ["푸르다", ""], "answer": 0}\n'
    )
    with pytest.raises(UserError, match="two or more texts"):
        load_tasks([str(tmp_path / "a" / "mine.jsonl")], None, shots=False)


def test_every_metric_has_its_own_verdict():
    task = TASKS["korsts"]
    items = [
        Item(context="가", choices=("아니오", "예"), gold=int(i >= 10), score=float(i % 5)) for i in range(20)
    ]
    rows = [{"lls": [-1.0, -2.0] if i < 10 else [-2.0, -1.0]} for i in range(20)]
    answered = [
        task_run.Answered(
            loaded=Loaded(task=task, items=items, pool=items, own_pool=True, place="x"), rows=rows
        )
    ]
    found = task_score.summary(answered, {})
    [table] = [b for b in task_score.report(answered, found, 0) if b["title"].startswith("과제 (tasks)")]
    verdicts = {row[1]: row[-1] for row in table["rows"]}
    assert "better than chance" in verdicts["정확도 (accuracy)"]
    assert "not different" in verdicts["피어슨 상관 (Pearson r)"]


def test_perplexity_by_domain(run, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    rows = [("비가 온다.", "날씨"), ("눈이 온다.", "날씨"), ("값이 올랐다.", "경제")]
    corpus.write_text(
        "".join(
            json.dumps({"id": str(i), "text": t, "meta": {"kind": k}}) + "\n" for i, (t, k) in enumerate(rows)
        )
    )
    result = evaluate(run, texts=[str(corpus)], config=EvalConfig(backend="engine"))
    json.dumps([result.summary, result.report], allow_nan=False)  # the error of one document is unknown: null
    found = result.summary["domains"]
    assert {name: one["documents"] for name, one in found.items()} == {"경제": 1, "날씨": 2}
    assert found["날씨"]["bytes"] == sum(len(t.encode()) for t, k in rows if k == "날씨")
    with pytest.raises(UserError):
        evaluate(run, texts=[str(tmp_path / "none.jsonl")])


def test_an_evaluation_on_the_engine_never_loads_torch(run, files):
    code = (
        "import sys, kobitnet; from pathlib import Path; from kobitnet.evaluate.verb import EvalConfig;"
        f"kobitnet.evaluate(Path({str(run)!r}), tasks=['kobest', 'korquad'], tasks_dir=Path({str(files)!r}),"
        " config=EvalConfig(backend='engine'));"
        "print(*[m for m in ('torch', 'transformers', 'datasets', 'kiwipiepy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
