"""Post-training quantisation: each method against what defines it, and the table script on a toy, interrupted."""

import sys
from pathlib import Path

import pytest
import torch

from kotok.shards import ShardWriter

from . import toy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes" / "ptq"))
import held_out_task
import ptq_methods as ptq
import ptq_table


def problem(seed: int = 0, out: int = 12, n: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A weight, correlated inputs with a few loud channels, and their H."""
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(out, n, generator=g)
    x = torch.randn(400, n, generator=g) @ torch.randn(n, n, generator=g)
    x[:, :2] *= 8
    return weight, x, x.T @ x


def loss(x, weight, quantised) -> float:
    return float((x @ (weight - quantised).T).pow(2).sum())


def test_absmax_by_hand():
    x = torch.tensor([[1.0, -0.4, 0.2, 0.0]])
    assert ptq.absmax(x, 8)[0, 1] == pytest.approx(-51 / 127)
    assert torch.equal(ptq.absmax(x, 2), torch.tensor([[1.0, -0.0, 0.0, 0.0]]))
    assert torch.allclose(ptq.absmax(x, 1), torch.tensor([[0.4, -0.4, 0.4, -0.4]]))
    assert ptq.absmax(x, 16) is x


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_gptq_beats_rounding_and_equals_it_without_correlation(bits):
    weight, x, hessian = problem()
    grid = ptq.row_grid(weight, bits)
    nearest = torch.stack([grid(weight[:, i]) for i in range(16)], 1)
    better = ptq.round_columns(weight, hessian, grid)
    assert loss(x, weight, better) < 0.8 * loss(x, weight, nearest)
    for column in range(16):
        assert torch.equal(grid(better[:, column]), better[:, column])  # on the grid
    assert torch.allclose(ptq.round_columns(weight, torch.eye(16), grid), nearest)
    assert all(len(set(row.tolist())) <= 2**bits for row in better)


def test_gptqs_step_is_the_optimal_update():
    """After one column is fixed the others move to the least squares optimum (optimal brain surgeon)."""
    weight, _, hessian = problem(out=1, n=4)
    free = ptq.round_columns(weight, hessian, lambda column: column)
    assert torch.allclose(free, weight)
    first = [True]

    def fix_first(column):
        if first.pop() if first else False:
            return torch.zeros_like(column)
        return column

    moved = ptq.round_columns(weight, hessian, fix_first)
    damped = hessian + ptq.DAMPING * hessian.diagonal().mean() * torch.eye(4)
    best = weight[0, 1:] + torch.linalg.solve(damped[1:, 1:], damped[1:, 0]) * weight[0, 0]
    assert torch.allclose(moved[0, 1:], best, atol=1e-4)


def test_inputs_never_seen_do_not_matter():
    weight, _, hessian = problem()
    hessian[3], hessian[:, 3] = 0, 0
    assert torch.isfinite(ptq.round_columns(weight, hessian, ptq.row_grid(weight, 3))).all()


def test_quip_turns_back_and_helps_a_weight_that_stands_out(monkeypatch):
    weight, x, hessian = problem()
    turn = ptq.rotation(16, 0)
    assert torch.allclose(turn @ turn.T, torch.eye(16), atol=1e-5)
    with monkeypatch.context() as patch:
        patch.setattr(ptq, "QUIP_RANGE", 10.0)  # nothing is clipped
        assert torch.allclose(ptq.quip(weight, hessian, 14, 0), weight, atol=0.01)
    loud = weight.clone()
    loud[torch.arange(12), torch.arange(12)] *= 12
    plain = ptq.round_columns(loud, hessian, ptq.even_grid(loud, 2))
    assert loss(x, loud, ptq.quip(loud, hessian, 2, 0)) < 0.7 * loss(x, loud, plain)


def test_smoothquant_changes_nothing_before_rounding_and_helps_with_loud_channels():
    weight, x, _ = problem()
    x[:, 0] *= 50
    smooth = ptq.smoothing(weight, x.abs().amax(0))
    assert torch.allclose((x / smooth) @ (weight * smooth).T, x @ weight.T, rtol=1e-3, atol=1e-2)
    smoothed = ptq.Quantised(ptq.absmax(weight * smooth, 8), 8, smooth)(x)
    plain = ptq.Quantised(ptq.absmax(weight, 8), 8)(x)
    right = x @ weight.T
    assert (smoothed - right).pow(2).sum() < 0.5 * (plain - right).pow(2).sum()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[Path, Path, Path]:
    from .random_toy import random_run

    folder = tmp_path_factory.mktemp("ptq")
    return (
        random_run(folder / "fp", quant="none"),
        random_run(folder / "bitnet"),
        toy.text_shards(folder / "shards", documents=20),
    )


def test_eight_bits_change_little_and_one_bit_a_lot(models):
    from kobitnet.checkpoint import load_model

    ids = torch.arange(1, 40)
    whole, _ = load_model(models[0])
    reference = whole(input_ids=ids[None]).logits.detach()
    samples = [part[:64] for part in ptq_table._samples(models[2])[:1]]
    spread = {}
    for method in (ptq.METHODS[i] for i in (0, 1, 2, 4, 5, 8)):  # quip costs more and is tested alone
        model, _ = load_model(models[0])
        ptq.quantise(model, method, samples)
        spread[method.label, method.name] = float(
            (model(input_ids=ids[None]).logits - reference).detach().pow(2).mean()
        )
        assert method.name == "none" or not any(ptq.linears(layer) for layer in model.model.layers)
    assert spread["W16A16", "none"] == 0
    assert spread["W8A8", "absmax"] < 0.1 * spread["W4A4", "absmax"]
    assert spread["W4A16", "gptq"] < spread["W2A16", "gptq"]
    assert spread["W8A8", "smoothquant"] < 0.1 * spread["W4A4", "absmax"]


def test_the_table_is_written_and_resumed(models, tmp_path, monkeypatch, capsys):
    fp, bitnet, shards = models
    question = tmp_path / "mine.jsonl"
    question.write_text('{"prompt": "하늘은", "choices": ["푸르다", "네모다"], "answer": 0}\n')
    monkeypatch.setattr(ptq_table, "METHODS", (ptq.METHODS[0], ptq.METHODS[1], ptq.METHODS[4]))
    command = [
        str(fp),
        "--bitnet",
        str(bitnet),
        "--on",
        str(shards),
        "--tasks",
        str(question),
        "--max-tokens",
        "60",
        "-o",
        str(tmp_path / "out"),
    ]
    done = []
    real = ptq_table._row

    def stumbling(*args):
        if len(done) == 2:
            done.append("stop")
            raise KeyboardInterrupt
        done.append(args[1])
        return real(*args)

    monkeypatch.setattr(ptq_table, "_row", stumbling)
    assert ptq_table.main(command) == 130
    assert ptq_table.main(command) == 0 and len(done) == 5
    out = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[0] for line in out[:4]] == ["W16A16", "W8A8", "W4A16", "W1.58A8"]
    assert (tmp_path / "out" / "report.html").stat().st_size < 1_000_000
    assert ptq_table.main([str(bitnet), "--on", str(shards), "-o", str(tmp_path / "no")]) == 1
    assert "not a full-precision model" in capsys.readouterr().err


def test_held_out_questions_ask_for_what_follows():
    texts = [" ".join(f"{name}{i}" for i in range(70)) for name in "가나다라마"] + ["짧은 글"]
    rows = held_out_task.questions(texts)
    assert len(rows) == 10 and rows == held_out_task.questions(texts)
    for row in rows:
        right = row["choices"][row["answer"]]
        assert len(set(row["choices"])) == 4 and right.split()[0][0] == row["prompt"][0]
        assert any(f"{row['prompt']} {right}" in text for text in texts)
        assert all(c[0] != row["prompt"][0] for c in row["choices"] if c != right)  # of other documents
    assert held_out_task.questions(texts[:1]) == []


def test_held_out_questions_are_a_task(models, tmp_path, capsys):
    from kobitnet.evaluate.task_files import load_tasks

    out = tmp_path / "held_out.jsonl"
    assert held_out_task.main([str(models[2]), "-o", str(out)]) == 1  # the toy's texts are too short
    assert "too little" in capsys.readouterr().err and not out.exists()
    made = toy.tokenizer()
    with ShardWriter(
        tmp_path / "long", kind="text", vocab_size=made.vocab_size, tokenizer_fingerprint=made.fingerprint
    ) as writer:
        for i in range(5):
            text = " ".join(f"낱말{i}번{j}" for j in range(40))
            writer.write([*made.encode(text), made.eot_id], split="val", nbytes=len(text.encode()))
    made.save(tmp_path / "long" / "tokenizer")
    assert held_out_task.main([str(tmp_path / "long"), "-o", str(out)]) == 0
    [loaded] = load_tasks([str(out)], None, shots=False)[0]
    assert len(loaded.items) == 5 and all(len(item.choices) == 4 for item in loaded.items)
