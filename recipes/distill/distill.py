"""A BitNet learns from the full-precision model it was converted from (BitDistill 2510.13998, its logits part).

    kobitnet convert LLAMA -o student                            SubLN in, weights copied
    kotok encode CORPUS --tok student/model -o shards
    kobitnet train shards --from student -o continued            continued pretraining; the paper: 10 B tokens
    python recipes/distill/distill.py shards --teacher LLAMA --student continued -o distilled --steps 1000

The loss is cross-entropy + weight x KL(teacher || student) with both distributions softened by the temperature
(the paper's 5, and weight 10; without the attention part of the paper). Teacher and student must share the tokenizer:
a student that was given new tokens learns by continued pretraining alone. Checkpoints, exact resume, report and the
stock model folder are those of `kobitnet train`.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kobitnet.checkpoint import load_model
from kobitnet.config import OptimConfig, resolve
from kobitnet.data import Batch
from kobitnet.model import Model, hidden_states
from kobitnet.stage import Stage, StageData, model_tokenizer, open_splits, run_stage
from kobitnet.step import Job, Loss, Objective
from kobitnet.train import TrainConfig, text_data
from kodata.run.errors import UserError
from kodata.run.result import Result
from kotok.tokenizer import load

CHUNK = 256
"""Positions whose two rows of logits are in memory at once."""


def softened_kl(
    hidden: Tensor, head: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """(summed cross-entropy, summed KL(teacher || student) at the temperature), over targets that are not -100.

    hidden (n, d) of the student, head (V, d), teacher logits (n, V or more), targets (n,).
    """
    keep = targets >= 0
    logits = hidden[keep] @ head.T
    theirs = teacher[keep][:, : head.shape[0]]
    nll = torch.nn.functional.cross_entropy(logits, targets[keep], reduction="sum")
    kl = torch.nn.functional.kl_div(
        (logits / temperature).log_softmax(-1),
        (theirs / temperature).log_softmax(-1),
        log_target=True,
        reduction="sum",
    )
    return nll, kl


def distilled(teacher: Model, weight: float, temperature: float) -> Objective:
    """The objective of `kobitnet.step`; validation counts the cross-entropy alone."""

    def objective(model: Model, batch: Batch) -> Loss:
        hidden = hidden_states(model, batch.input_ids, batch.position_ids, batch.segments).flatten(0, 1)
        with torch.no_grad():
            states = teacher.model(input_ids=batch.input_ids, use_cache=False).last_hidden_state.flatten(0, 1)
        targets = batch.targets.flatten()
        nll, kl = hidden.new_zeros(()), hidden.new_zeros(())
        for at in range(0, len(targets), CHUNK):
            part = slice(at, at + CHUNK)

            def two(mine: Tensor, head: Tensor, part: slice = part) -> tuple[Tensor, Tensor]:
                with torch.no_grad():
                    theirs = teacher.lm_head(states[part])
                return softened_kl(mine, head, theirs, targets[part], temperature)

            a, b = checkpoint(two, hidden[part], model.lm_head.weight, use_reentrant=False)
            nll, kl = nll + a, kl + b
        if not model.training:
            return Loss(total=nll, count=batch.count)
        return Loss(total=nll + weight * kl, count=batch.count, metrics={"nll": float(nll), "kl": float(kl)})

    return objective


def open_teacher(folder: Path) -> Model:
    """The original in fp32, frozen; never its own code."""
    from transformers import AutoModelForCausalLM

    teacher = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    return teacher.eval().requires_grad_(False)


def distill(
    shards: Path,
    teacher: Path,
    student: Path,
    output: Path,
    config: TrainConfig,
    *,
    weight: float = 10.0,
    temperature: float = 5.0,
    seed: int = 0,
    dry_run: bool = False,
) -> Result:
    """Run or resume. UserError when the tokenizers of teacher, student and shards are not one."""
    resolve(config, lr=1e-4, schedule="cosine", warmup=0.03, weight_decay=0.1)

    def opened() -> StageData:
        data = text_data(shards, config, seed)
        tokenizer = model_tokenizer(student, open_splits(shards, "text")[0])
        if load(teacher).fingerprint != tokenizer.fingerprint:
            raise UserError(
                f"스승과 제자의 토크나이저가 다릅니다 (teacher and student have different tokenizers): {teacher}",
                help="새 토큰을 받은 제자는 kobitnet train --from 으로 배웁니다 (train such a student with --from)",
            )
        return StageData(tokenizer=tokenizer, source=data.source, val=data.val)

    def job(data: StageData) -> Job:
        model, _ = load_model(student)
        held_out = data.val.shards if data.val is not None else None
        return Job(
            model=model,
            source=data.source,
            objective=distilled(open_teacher(teacher), weight, temperature),
            config=config,
            stage="pretrain",
            val=data.val,
            val_bytes_per_target=held_out.bytes / held_out.num_tokens
            if held_out and held_out.bytes
            else None,
        )

    stage = Stage(
        verb=f"distill-{weight:g}-{temperature:g}",
        inputs=[shards, teacher, student],
        open=opened,
        job=job,
        stage="pretrain",
    )
    return run_stage(stage, output, config, seed=seed, dry_run=dry_run, fresh=False)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path, help="글 조각 (text shards)")
    parser.add_argument("--teacher", type=Path, required=True, help="원래 모델 폴더 (the original)")
    parser.add_argument("--student", type=Path, required=True, help="kobitnet convert 나 train 의 결과")
    parser.add_argument("-o", "--output", type=Path, required=True, help="출력 폴더 (output folder)")
    parser.add_argument("--steps", type=int, default=0, help="0 = 한 바퀴 (one pass)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="adamw")
    parser.add_argument("--weight", type=float, default=10.0, help="KL의 무게 (weight of the KL term)")
    parser.add_argument("--temperature", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args(arguments)
    try:
        config = TrainConfig(
            steps=given.steps,
            batch_size=given.batch_size,
            accumulate=given.accumulate,
            seq_len=given.seq_len,
            lr=given.lr,
            optim=OptimConfig(name=given.optimizer),
        )
        result = distill(
            given.shards,
            given.teacher,
            given.student,
            given.output,
            config,
            weight=given.weight,
            temperature=given.temperature,
            seed=given.seed,
            dry_run=given.dry_run,
        )
    except UserError as error:
        print(f"오류 (error): {error}\n도움: {error.help}", file=sys.stderr)
        return 1
    print(*result.lines, sep="\n")
    print(given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
