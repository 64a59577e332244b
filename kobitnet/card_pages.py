"""What stands on a model card and a data card: blocks made from the summaries and manifests of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kodata.report.runs import Run

UNKNOWN = "기록이 없습니다 (no record)"
STAGES = {"train": "사전 학습 (pretraining)", "sft": "지도 미세 조정 (SFT)", "dpo": "선호 최적화 (DPO)"}
FRONT_MATTER = (
    "---\nlanguage:\n- ko\nlicense: other\nlibrary_name: transformers\npipeline_tag: text-generation\n"
    "tags:\n- bitnet\n- 1.58-bit\n- ternary\n- korean\n---\n"
)
"""What the Hub reads. The licence is "other": which one follows from the data is for a person to decide."""


def about_model(model: Path) -> dict[str, Any]:
    from kodata.run.files import read_json_object

    config = read_json_object(model / "model" / "config.json")
    ours = _mapping(config.get("kobitnet"))
    return {"config": config, **ours, "tokenizer_fingerprint": ours.get("tokenizer_fingerprint", "")}


# ---- the model card -----------------------------------------------------------------------------


def model_blocks(
    model: Path, own: Run, way: list[Run], evaluations: list[Run], about: dict[str, Any]
) -> list[dict[str, Any]]:
    from kobitnet.evaluate import efficiency
    from kodata.report import blocks as b

    config = about["config"]
    size = efficiency.computed(config)
    page = [
        b.facts(
            "한눈에 (at a glance)",
            {
                "양자화 (quantisation)": f"{about.get('quant', '–')}: 가중치 {{−1, 0, +1}}, 활성값 int8"
                if about.get("quant") == "b1.58"
                else about.get("quant", "–"),
                "마지막 단계 (last stage)": STAGES[own.verb],
                "매개변수, 임베딩 제외 (parameters, non-embedding)": size["non_embedding"],
                "매개변수, 임베딩과 출력층 (embedding and head)": size["embedding"],
                "크기, 2비트로 저장할 때 (packed size)": f"{size['bitnet']['total_bytes'] / 1e6:.1f} MB "
                f"(FP16이면 {size['fp16']['total_bytes'] / 1e6:.1f} MB)",
                "층 · 너비 · 머리 (layers, width, heads)": f"{config.get('num_hidden_layers')} · {config.get('hidden_size')} · {config.get('num_attention_heads')}",
                "읽는 길이 (positions)": config.get("max_position_embeddings"),
                "어휘 (vocabulary)": config.get("vocab_size"),
            },
        ),
        b.text(
            "사용법 (how to use)",
            '```console\n$ kobitnet generate RUN "대한민국은"\n```\n\n'
            "```python\nimport os; os.environ['TORCHDYNAMO_DISABLE'] = '1'\n"
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
            "model = AutoModelForCausalLM.from_pretrained('model', dtype='float32')\n"
            "tokenizer = AutoTokenizer.from_pretrained('model')\n```",
        ),
    ]
    page.append(_training(way))
    page.append(_tokenizer(way, about))
    page += _results(evaluations)
    page.append(_limits(own, way, evaluations, about, size))
    page.append(
        b.table(
            "만든 명령 (how it was made)",
            ["실행 (run)", "명령 (command)", "시작 (started)", "시드 (seed)"],
            [
                [f"{run.tool} {run.verb} {run.name}", _command(run), str(run.manifest.get("started", ""))[:16], run.manifest.get("seed")]
                for run in way
            ],
            note="버전 (versions): " + ", ".join(f"{k} {v}" for k, v in _mapping(own.manifest.get("versions")).items()),
        )
    )  # fmt: skip
    return page


def _training(way: list[Run]) -> dict[str, Any]:
    from kodata.report import blocks as b

    rows = []
    for run in way:
        if run.tool != "kobitnet" or run.verb not in STAGES:
            continue
        s, config = run.summary, _mapping(run.manifest.get("config"))
        rate = config.get("lr", _mapping(config.get("optim")).get("lr"))
        rows.append(
            [STAGES[run.verb], run.name, s.get("steps"), s.get("tokens"), rate, s.get("loss"), s.get("val_loss"),
             s.get("val_bits_per_byte"), s.get("train_seconds")]
        )  # fmt: skip
    columns = ["단계 (stage)", "실행 (run)", "스텝 (steps)", "토큰 (tokens)", "학습률 (learning rate)", "손실 (loss)",
               "검증 손실 (val loss)", "검증 바이트당 비트 (val bits/byte)", "초 (seconds)"]  # fmt: skip
    return b.table("학습 (training)", columns, rows)


def _tokenizer(way: list[Run], about: dict[str, Any]) -> dict[str, Any]:
    from kodata.report import blocks as b

    made = next((run for run in way if (run.tool, run.verb) == ("kotok", "train")), None)
    facts: dict[str, Any] = {"지문 (fingerprint)": about["tokenizer_fingerprint"] or UNKNOWN}
    if made is None:
        facts["만든 실행 (made by)"] = UNKNOWN
    else:
        s = made.summary
        facts |= {
            "방법 (algorithm)": s.get("algorithm"),
            "어휘 (vocabulary)": s.get("vocab_size"),
            "학습 문서 (documents learned from)": s.get("documents"),
            "토큰당 글자 (characters per token)": s.get("chars_per_token"),
        }
    return b.facts("토크나이저 (tokenizer)", facts)


def _results(evaluations: list[Run]) -> list[dict[str, Any]]:
    from kodata.report import blocks as b

    rows = []
    for run in evaluations:
        if (bits := run.summary.get("bits_per_byte")) is not None:
            stderr = run.summary.get("stderr")
            rows += [
                ["따로 둔 글 (held-out text)", "바이트당 비트 (bits/byte)", bits, stderr, run.summary.get("documents"), run.name],
                ["따로 둔 글 (held-out text)", "혼란도 (perplexity)", run.summary.get("perplexity"), None, run.summary.get("documents"), run.name],
            ]  # fmt: skip
        for name, task in _mapping(run.summary.get("tasks")).items():
            for metric, value in _mapping(_mapping(task).get("metrics")).items():
                rows.append([name, metric, value.get("value"), value.get("stderr"), value.get("n"), run.name])
    if not rows:
        return [b.text("평가 (evaluation)", f"{UNKNOWN}: `kobitnet eval RUN --tasks kobest -o eval`")]
    columns = ["무엇 (what)", "지표 (metric)", "값 (value)", "± 표준오차 (stderr)", "수 (n)", "실행 (run)"]
    return [b.table("평가 (evaluation)", columns, rows)]


def _limits(
    own: Run, way: list[Run], evaluations: list[Run], about: dict[str, Any], size: dict[str, Any]
) -> dict[str, Any]:
    """What a reader has to know before using it, each line from a recorded number."""
    from kodata.report import blocks as b

    lines = []
    tokens = sum(
        int(run.summary.get("tokens") or 0) for run in way if run.tool == "kobitnet" and run.verb == "train"
    )
    parameters = size["non_embedding"] + size["embedding"]
    if tokens and tokens < 20 * parameters:
        lines.append(
            f"매개변수마다 토큰 {tokens / parameters:.2f}개만 배웠습니다: 연습 규모이며 사실을 묻는 데 쓸 수 없습니다 "
            f"(trained on {tokens / parameters:.2f} tokens a parameter: a toy, not a source of facts)."
        )
    tasks = {
        name: task
        for run in evaluations
        for name, task in _mapping(run.summary.get("tasks")).items()
        if isinstance(task, dict)
    }
    level = [name for name, task in tasks.items() if "not different from chance" in str(task.get("verdict"))]
    if level:
        lines.append(f"우연과 다르지 않은 과제 (tasks not different from chance): {', '.join(level)}.")
    if not tasks:
        lines.append("한국어 과제로 평가하지 않았습니다 (not evaluated on Korean tasks).")
    if own.verb == "train":
        lines.append(
            "지시를 배우지 않은 모델입니다: 대화하지 못합니다 (not instruction-tuned: it does not chat)."
        )
    lines.append(
        "유해한 글, 편향, 개인정보 누출을 재지 않았습니다 (harm, bias and leakage of personal data were not measured)."
    )
    if about.get("quant") == "b1.58":
        lines.append(
            "활성값의 int8 반올림 때문에 스레드 수나 백엔드가 다르면 로짓이 조금 다를 수 있습니다 "
            "(int8 rounding: logits may differ slightly with threads and backends)."
        )
    return b.text("한계 (limits)", "\n".join(f"- {line}" for line in lines))


# ---- the data card ------------------------------------------------------------------------------


def data_blocks(way: list[Run]) -> list[dict[str, Any]]:
    from kodata.pii import TAGS
    from kodata.report import blocks as b
    from kodata.rules import LABELS

    data = [run for run in way if run.tool in ("kodata", "kotok")]
    if not data:
        return [
            b.text(
                "자료 (data)",
                f"{UNKNOWN}: --runs W 로 자료 실행이 있는 폴더를 주십시오 (give the folder of the data runs)",
            )
        ]
    page: list[dict[str, Any]] = []
    cleans = [run for run in data if (run.tool, run.verb) == ("kodata", "clean")]
    for run in cleans:
        s = run.summary
        page.append(
            b.facts(
                f"정제 (cleaning) · {run.name}",
                {
                    "들어온 문서 (documents in)": s.get("in"),
                    "남은 문서 (kept)": s.get("kept"),
                    "버린 문서 (dropped)": s.get("dropped"),
                    "글자 (characters out)": s.get("chars_out"),
                    "버린 까닭 (reasons)": ", ".join(
                        f"{LABELS.get(k, k)} {v:,}" for k, v in _mapping(s.get("reasons")).items()
                    )
                    or "–",
                },
            )
        )
        page += _by(s.get("sources"), f"출처 (sources) · {run.name}", "출처 (source)")
        page += _by(s.get("licences"), f"라이선스 (licences) · {run.name}", "라이선스 (licence)")
        found = _mapping(s.get("pii"))
        page.append(
            b.table(
                f"바꾼 개인정보 (personal data replaced) · {run.name}",
                ["종류 (kind)", "수 (count)"],
                [[TAGS.get(k, k), v] for k, v in found.items()],
                note=f"문서 {s.get('pii_documents', 0):,}개에서 찾았습니다. 찾지 못한 것이 남았을 수 있습니다 (in so many documents; what was not found may remain).",
            )
        )
    if not cleans:
        page.append(b.text("출처와 라이선스 (sources and licences)", UNKNOWN))
    page.append(_other_data(data))
    page.append(_decontamination(data))
    return page


def _by(values: Any, title: str, column: str) -> list[dict[str, Any]]:
    from kodata.report import blocks as b

    rows = [
        [name, one.get("in"), one.get("kept"), one.get("chars_out")]
        for name, one in _mapping(values).items()
        if isinstance(one, dict)
    ]
    if not rows:
        return [b.text(title, UNKNOWN)]
    return [b.table(title, [column, "들어옴 (in)", "남김 (kept)", "글자 (characters out)"], rows)]


def _other_data(data: list[Run]) -> dict[str, Any]:
    from kodata.report import blocks as b
    from kodata.report.names import label
    from kodata.report.road import scalars

    rows = []
    for run in data:
        if (run.tool, run.verb) != ("kodata", "clean"):
            numbers = [
                f"{label(k)} {v:,}" if isinstance(v, int) and not isinstance(v, bool) else f"{label(k)} {v}"
                for k, v in scalars(run.summary, depth=1)
                if v != 0
            ]
            rows.append([f"{run.tool} {run.verb}", run.name, " · ".join(numbers[:14])])
    return b.table("다른 단계 (other stages)", ["단계 (stage)", "실행 (run)", "수 (numbers)"], rows)


def _decontamination(data: list[Run]) -> dict[str, Any]:
    from kodata.report import blocks as b

    against = [
        str(value)
        for run in data
        if run.verb == "dedup"
        for value in [_mapping(run.manifest.get("config")).get("against")]
        if value
    ]
    words = (
        f"평가 자료와 겹치는 글을 뺐습니다 (texts that overlap with these were removed): {'; '.join(against)}"
        if against
        else "평가 자료와 겹치는 글을 빼지 않았습니다 (not decontaminated): `kodata dedup … --against EVAL`"
    )
    return b.text("평가 자료 누출 (decontamination)", words)


def _command(run: Run) -> str:
    """The command as typed; a folder above the run, which is nobody's business, left out."""
    from kodata.report.road import command

    return command(run).replace(f"{run.path.resolve().parent}/", "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
