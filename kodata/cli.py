"""The `kodata` command: a table of verbs."""

from kodata.run.app import Tool

tool = Tool(
    "kodata",
    "날것의 한국어에서 깨끗한 말뭉치와 대화 자료까지 (from raw Korean text to clean corpora and chat data)",
)
tool.verb(
    "clean", "kodata.pipeline:clean", "한국어 원천을 깨끗한 문서로 정제 (clean Korean sources into documents)"
)
tool.verb(
    "dedup", "kodata.dedup:dedup", "중복과 평가 자료 누출 제거 (remove duplicates and evaluation leaks)"
)
tool.verb(
    "score",
    "kodata.score.verb:score",
    "문서마다 품질 점수를 매겨 말뭉치 옆에 저장 (quality scores beside a corpus)",
)
tool.verb(
    "train-lm",
    "kodata.score.train:train_lm",
    "점수에 쓸 글자 언어 모델 학습 (train a character language model)",
)
tool.verb(
    "train-quality",
    "kodata.score.train:train_quality",
    "좋은 글과 나쁜 글로 품질 분류기 학습 (train a quality classifier)",
)
tool.verb("mix", "kodata.mix.verb:mix", "여러 말뭉치를 정한 비율로 섞기 (mix corpora in stated shares)")
tool.verb("sft", "kodata.chat.sft:sft", "지시·대화 자료를 학습용 JSONL로 변환 (build SFT chat JSONL)")
tool.verb("dpo", "kodata.chat.dpo:dpo", "선호 자료를 chosen/rejected JSONL로 변환 (build DPO pair JSONL)")
tool.verb(
    "synth",
    "kodata.synth.verb:synth",
    "지시 자료 합성: 검산한 산수, 분류 체계, 자기 지시, 답 (make instruction data)",
)
tool.verb("inspect", "kodata.inspect:inspect", "문서와 버린 까닭 살펴보기 (look at documents and drops)")
tool.verb("report", "kodata.report.verb:report", "실행 결과를 HTML 한 장으로 (render runs as one HTML page)")
main = tool.main
