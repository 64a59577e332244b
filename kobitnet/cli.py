"""The `kobitnet` command: a table of verbs."""

from kodata.run.app import Tool

tool = Tool("kobitnet", "BitNet b1.58 학습과 CPU 추론 (train BitNet b1.58 and run it on a CPU)")
tool.verb("train", "kobitnet.train:train", "처음부터 사전 학습 (pretrain from scratch)")
tool.verb(
    "convert", "kobitnet.convert:convert", "Llama 계열 모델을 BitNet으로 변환 (turn a Llama into a BitNet)"
)
tool.verb("sft", "kobitnet.sft:sft", "지도 미세 조정 (supervised fine-tuning)")
tool.verb("dpo", "kobitnet.dpo:dpo", "선호 최적화 (direct preference optimisation)")
tool.verb(
    "eval",
    "kobitnet.evaluate.verb:evaluate",
    "평가: 한국어 과제, 혼란도, 크기와 속도 (evaluate: Korean tasks, perplexity, size, speed)",
)
tool.verb("generate", "kobitnet.generate:generate", "글 생성 (generate text)")
tool.verb(
    "serve",
    "kobitnet.serve.verb:serve",
    "OpenAI 호환 서버와 대화 화면 (OpenAI-compatible server and chat page)",
)
tool.verb("export", "kobitnet.export:export", "표준 파일로 내보내기 (export to standard files)")
tool.verb("bench", "kobitnet.bench:bench", "CPU 속도 재기 (measure CPU speed)")
tool.verb("card", "kobitnet.card:card", "모델 카드와 자료 카드 쓰기 (write the model and data cards)")
tool.verb(
    "sheet", "kobitnet.evaluate.sheet:sheet", "사람 평가지 만들기와 채점 (blinded sheet for human judges)"
)
tool.verb("info", "kobitnet.info:info", "설치와 CPU 상태 (installation and CPU)")
main = tool.main
