"""Our tasks and lm-evaluation-harness on the same model and the same files: the same numbers to the digit.

The harness's own KoBEST definitions are pointed at JSONL written here from the official TSV, with the columns of the Hub.
"""

import csv
import gzip
import json
from pathlib import Path

import pytest

from kobitnet.evaluate.verb import EvalConfig, evaluate

from .random_toy import random_run

lm_eval = pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow
SUBSETS = ("boolq", "copa", "hellaswag")


def rows(path: Path) -> list[dict[str, str]]:
    """An official TSV by the csv module; its quoted cells are those of a spreadsheet."""
    with (
        gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        if path.suffix == ".gz"
        else open(path, encoding="utf-8-sig", newline="") as handle
    ):
        return list(csv.DictReader(handle, delimiter="\t"))


def hub_row(subset: str, row: dict[str, str]) -> dict:
    if subset == "boolq":
        label = {"TRUE": 1, "FALSE": 0}[row["Answer"].upper()]
        return {"paragraph": row["Text"], "question": row["Question"], "label": label}
    if subset == "copa":
        return {"premise": row["sentence"], "question": row["question"], "alternative_1": row["1"],
                "alternative_2": row["2"], "label": int(row["Answer"]) - 1}  # fmt: skip
    return {
        "context": row["context"],
        **{f"ending_{i}": row[f"choice{i}"] for i in range(1, 5)},
        "label": int(row["label"]),
    }


@pytest.fixture(scope="module")
def files(real_data, tmp_path_factory) -> Path:
    """JSONL with the Hub's columns, and a YAML for each task that includes the harness's own."""
    folder = tmp_path_factory.mktemp("harness")
    theirs = Path(lm_eval.__file__).parent / "tasks" / "kobest"
    for subset in SUBSETS:
        paths = {}
        for part in ("train", "test"):
            [source] = (real_data / "eval" / "kobest").glob(f"{subset}_{part}.tsv*")
            paths[part] = folder / f"{subset}_{part}.jsonl"
            paths[part].write_text(
                "".join(json.dumps(hub_row(subset, r), ensure_ascii=False) + "\n" for r in rows(source))
            )
        text = (theirs / f"kobest_{subset}.yaml").read_text()
        text = text.replace(f"task: kobest_{subset}", f"task: local_{subset}").replace(
            "validation_split: validation\n", ""
        )
        text = text.replace(
            f"dataset_path: skt/kobest_v1\ndataset_name: {subset}",
            f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    train: {paths['train']}\n    test: {paths['test']}",
        )
        (folder / f"local_{subset}.yaml").write_text(text)
    (folder / "utils.py").write_text((theirs / "utils.py").read_text())
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return random_run(tmp_path_factory.mktemp("model"))


def harness(files: Path, shots: int, limit: int, model, **args) -> dict:
    from lm_eval.tasks import TaskManager

    found = lm_eval.simple_evaluate(
        model=model,
        tasks=[f"local_{s}" for s in SUBSETS],
        num_fewshot=shots,
        limit=limit,
        task_manager=TaskManager(include_path=str(files), include_defaults=False),
        bootstrap_iters=10,
        **args,
    )
    return {name.removeprefix("local_"): result for name, result in found["results"].items()}


@pytest.mark.parametrize("shots", [0, 3])
def test_same_accuracy_as_the_harness(run, files, real_data, shots, tmp_path):
    from lm_eval.models.huggingface import HFLM

    import kobitnet.evaluate.lm_eval_model  # noqa: F401  registers the model

    limit = 60
    model = HFLM(pretrained=str(run / "model"), device="cpu", dtype="float32", batch_size=1)
    stock = harness(files, shots, limit, model)
    ours_inside = harness(files, shots, limit, "kobitnet", model_args={"path": str(run), "backend": "engine"})
    for backend in ("torch", "engine"):
        ours = evaluate(
            run, tasks=["kobest"], tasks_dir=real_data / "eval", limit=limit,
            config=EvalConfig(backend=backend, fewshot=shots),
        ).summary["tasks"]  # fmt: skip
        for subset in SUBSETS:
            mine = ours[f"kobest_{subset}"]["metrics"]
            for theirs in (stock[subset], ours_inside[subset]):
                for name in ("acc", "f1", *(["acc_norm"] if subset == "hellaswag" else [])):
                    assert mine[name]["value"] == pytest.approx(theirs[f"{name},none"], abs=1e-12), (
                        subset,
                        name,
                    )
                assert mine["acc"]["stderr"] == pytest.approx(theirs["acc_stderr,none"], abs=1e-12)
