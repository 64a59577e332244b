"""What things are called in a report: the verbs, and the numbers that runs record under short English keys."""

from __future__ import annotations

import re

VERBS = {
    ("kodata", "clean"): "정제 (cleaning)",
    ("kodata", "dedup"): "중복 제거 (deduplication)",
    ("kodata", "score"): "품질 점수 (quality scores)",
    ("kodata", "mix"): "자료 혼합 (data mixture)",
    ("kodata", "sft"): "대화 자료 (chat data)",
    ("kodata", "dpo"): "선호 자료 (preference data)",
    ("kodata", "synth"): "합성 자료 (synthetic data)",
    ("kodata", "train-lm"): "점수용 언어 모델 (language model for scores)",
    ("kodata", "train-quality"): "품질 분류기 (quality classifier)",
    ("kotok", "train"): "토크나이저 학습 (tokenizer training)",
    ("kotok", "extend"): "토크나이저 확장 (tokenizer extension)",
    ("kotok", "encode"): "토큰 샤드 (token shards)",
    ("kotok", "eval"): "토크나이저 비교 (tokenizer comparison)",
    ("kobitnet", "train"): "사전 학습 (pretraining)",
    ("kobitnet", "sft"): "지도 미세 조정 (SFT)",
    ("kobitnet", "dpo"): "선호 최적화 (DPO)",
    ("kobitnet", "convert"): "BitNet 변환 (conversion to BitNet)",
    ("kobitnet", "generate"): "답 생성 (generation)",
    ("kobitnet", "eval"): "모델 평가 (evaluation)",
    ("kobitnet", "export"): "내보내기 (export)",
    ("kobitnet", "bench"): "CPU 속도 (CPU speed)",
    ("kobitnet", "ptq"): "사후 양자화 비교 (post-training quantisation)",
}

NUMBERS = {
    # documents
    "documents": "문서 (documents)",
    "documents_in": "입력 문서 (documents in)",
    "documents_out": "출력 문서 (documents out)",
    "documents_kept": "남은 문서 (kept)",
    "in": "입력 (in)",
    "read": "읽음 (read)",
    "kept": "남음 (kept)",
    "dropped": "버림 (dropped)",
    "failed": "읽지 못함 (failed)",
    "refused": "거절함 (refused)",
    "empty": "빈 것 (empty)",
    "cut": "잘린 것 (cut short)",
    "reasons": "까닭 (reasons)",
    "exact": "똑같음 (exact)",
    "near": "거의 같음 (near)",
    "clusters": "중복 묶음 (clusters)",
    "chars": "글자 (characters)",
    "chars_in": "입력 글자 (characters in)",
    "chars_out": "출력 글자 (characters out)",
    "bytes": "바이트 (bytes)",
    "bytes_in": "입력 바이트 (bytes in)",
    "bytes_out": "출력 바이트 (bytes out)",
    "texts": "견준 글 (texts compared)",
    "candidates": "후보 쌍 (candidate pairs)",
    "buckets": "버킷 (buckets)",
    "largest_bucket": "가장 큰 버킷 (largest bucket)",
    "estimated": "서명으로 어림한 쌍 (pairs estimated)",
    "verified": "자카드를 잰 쌍 (pairs measured)",
    "edges": "중복으로 이은 쌍 (pairs joined)",
    # chat and preference data
    "chats": "대화 (chats)",
    "chats_dropped": "뺀 대화 (chats left out)",
    "pairs": "쌍 (pairs)",
    "pairs_dropped": "뺀 쌍 (pairs left out)",
    "records": "기록 (records)",
    "written": "출력 (written)",
    "answers": "답 (answers)",
    "prompt_chars": "질문 글자 (prompt characters)",
    "answer_chars": "답 글자 (answer characters)",
    "mean_chosen_chars": "chosen 평균 글자 (mean characters)",
    "mean_rejected_chars": "rejected 평균 글자 (mean characters)",
    # tokenizers and shards
    "algorithm": "알고리즘 (algorithm)",
    "vocab_size": "어휘 (vocabulary)",
    "fingerprint": "지문 (fingerprint)",
    "types": "서로 다른 어절 (distinct words)",
    "types_cut": "형태소로 나눈 어절 (words cut into morphemes)",
    "tokens_inside_morphemes": "형태소 안에서 배운 토큰 (tokens inside morphemes)",
    "merges": "병합 (merges)",
    "chars_per_token": "토큰당 글자 (characters a token)",
    "kind": "종류 (kind)",
    "dtype": "자료형 (dtype)",
    "tokens": "토큰 (tokens)",
    "train_documents": "학습 문서 (train documents)",
    "train_tokens": "학습 토큰 (train tokens)",
    "train_targets": "학습하는 토큰 (train targets)",
    "train_bytes": "학습 바이트 (train bytes)",
    "val_documents": "검증 문서 (val documents)",
    "val_tokens": "검증 토큰 (val tokens)",
    "val_targets": "검증하는 토큰 (val targets)",
    "val_bytes": "검증 바이트 (val bytes)",
    # training and evaluation
    "stage": "단계 (stage)",
    "steps": "스텝 (steps)",
    "loss": "손실 (loss)",
    "loss_first": "첫 손실 (first loss)",
    "val_loss": "검증 손실 (val loss)",
    "val_accuracy": "검증 정확도 (val accuracy)",
    "val_margin": "검증 마진 (val margin)",
    "bits_per_byte": "바이트당 비트 (bits per byte)",
    "val_bits_per_byte": "검증 바이트당 비트 (val bits per byte)",
    "perplexity": "혼란도 (perplexity)",
    "untrained_perplexity": "학습 전 혼란도 (untrained perplexity)",
    "untrained_bits_per_byte": "학습 전 바이트당 비트 (untrained bits per byte)",
    "stderr": "표준오차 (stderr)",
    "nats": "음의 로그 우도, nats (negative log-likelihood)",
    "accuracy": "정확도 (accuracy)",
    "margin": "마진 (margin)",
    "learned_share": "학습하는 토큰의 비율 (share of learned tokens)",
    "parameters": "매개변수 (parameters)",
    "total": "전체 매개변수 (parameters)",
    "embedding": "임베딩 매개변수 (embedding)",
    "non_embedding": "임베딩 제외 매개변수 (non-embedding)",
    "seconds": "걸린 시간, 초 (seconds)",
    "train_seconds": "학습 시간, 초 (training seconds)",
    "tokens_per_second": "초당 토큰 (tokens a second)",
    "peak_memory_gb": "최대 메모리, GB (peak memory)",
    "compared": "견준 글 (texts compared)",
    "agree": "일치한 글 (texts that agree)",
    "identical": "똑같은 글 (identical texts)",
    # generation
    "backend": "계산 엔진 (backend)",
    "model": "모델 (model)",
    "temperature": "온도 (temperature)",
    "top_k": "후보 수 (top-k)",
    "top_p": "누적 확률 (top-p)",
    "repetition_penalty": "반복 벌점 (repetition penalty)",
    "max_new_tokens": "새 토큰 최대 (max new tokens)",
    "seed": "시드 (seed)",
    # models behind scores
    "version": "판 (version)",
    "pieces": "글 조각 (pieces)",
    "held_out": "따로 둔 문서 (held-out documents)",
    "label_low": "가장 낮은 라벨 (lowest label)",
    "label_high": "가장 높은 라벨 (highest label)",
    "calibration_error": "보정 오차 (calibration error)",
    "squared_error": "제곱 오차 (squared error)",
    "correlation": "상관 (correlation)",
    "file_bytes": "파일 크기, 바이트 (file size)",
}

_KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def verb(tool: str, name: str) -> str:
    """What a verb does: ``정제 (cleaning)``; an unknown one keeps its name."""
    return VERBS.get((tool, name), f"{tool} {name}")


def label(key: str) -> str:
    """A key of a summary in words, dotted ones by their last part; text that is no key stays as it is."""
    head, dot, last = key.rpartition(".")
    if last in NUMBERS:
        return f"{head}{dot}{NUMBERS[last]}"
    return key.replace("_", " ") if _KEY.fullmatch(last) else key
