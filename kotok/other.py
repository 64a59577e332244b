"""Training recipes besides our own: sentencepiece BPE and unigram (lossless settings), WordPiece (lossy, for encoders)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kodata.run.errors import UserError
from kodata.run.progress import progress
from kotok.records import Text
from kotok.tokenizer import Tokenizer
from kotok.tokenizer_json import (
    CONTROL,
    added_tokens,
    bpe_model,
    metaspace_spec,
    piece_merges,
    standard_config,
)
from kotok.vocab_size import too_large

# sentencepiece skips longer lines; ours are cut at this many characters so that it never has to.
MAX_LINE_CHARS = 4000
# Unigram sums expected counts by thread: a fixed number keeps the result independent of the machine.
SPM_THREADS = 4


def train_other(
    documents: Callable[[], Iterator[Text]], config: Any, folder: Path
) -> tuple[Tokenizer, dict[str, Any]]:
    """A tokenizer by `config.algorithm` and the facts of its training; sentencepiece also leaves its .model in `folder`."""
    seen = {"documents": 0, "chars": 0}

    def texts() -> Iterator[str]:
        with progress("읽기 (reading)", unit="문서") as bar:
            for document in documents():
                seen["documents"] += 1
                seen["chars"] += len(document.text)
                bar.advance(1, bytes=len(document.text))
                yield document.text

    wanted = config.vocab_size - len(CONTROL)
    if config.algorithm == "wordpiece":
        made = _wordpiece(texts(), wanted, config.vocab_size)
    else:
        made = _sentencepiece(
            texts(), wanted, config.algorithm.removeprefix("spm-"), folder, config.vocab_size
        )
    if not seen["chars"]:
        raise UserError(
            "배울 글이 없습니다 (no text to learn from)",
            "입력과 --val 을 확인하십시오 (check inputs and --val)",
        )
    tokens = chars = 0
    batch: list[str] = []
    for document in documents():
        batch.append(document.text)
        chars += len(document.text)
        if len(batch) == 256 or chars > 4_000_000:
            tokens += len(made.encode_flat(batch)[0])
            batch = []
        if chars > 4_000_000:
            break
    tokens += len(made.encode_flat(batch)[0])
    return made, {**seen, "chars_per_token": round(chars / max(tokens, 1), 4)}


def _lines(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), MAX_LINE_CHARS):
                yield line[start : start + MAX_LINE_CHARS]


def _sentencepiece(texts: Iterator[str], wanted: int, model_type: str, folder: Path, asked: int) -> Tokenizer:
    import io

    import sentencepiece as spm

    model = io.BytesIO()
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=model,
            model_type=model_type,
            vocab_size=wanted,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            byte_fallback=True,
            split_digits=False,
            character_coverage=0.9995,
            max_sentence_length=1 << 20,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=SPM_THREADS,
            minloglevel=2,
            train_extremely_large_corpus=False,
            input_sentence_size=0,
        )
    except RuntimeError as error:
        raise _spm_error(str(error), asked) from None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    processor = spm.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.vocab_size())]
    if len(pieces) != wanted:
        raise _too_large(asked, len(pieces))
    return _from_pieces(pieces, model_type)


def _spm_error(message: str, asked: int) -> UserError:
    found = re.search(r"value <= (\d+)", message)
    if found:
        return _too_large(asked, int(found[1]))
    low = re.search(r"(?:smaller than|required_chars)[^\d]*(\d+)", message)
    if low:
        return UserError(
            f"어휘가 너무 작습니다 (vocabulary too small for sentencepiece): {asked}: {message.strip()}",
            "--vocab-size 를 키우십시오 (a larger --vocab-size)",
        )
    return UserError(
        f"sentencepiece가 실패했습니다 (sentencepiece failed): {' '.join(message.split())}",
        "글이 너무 적지 않은지 확인하십시오 (check that there is enough text)",
    )


def _too_large(asked: int, pieces: int) -> UserError:
    return too_large(asked, (pieces + len(CONTROL)) // 64 * 64)


def _from_pieces(pieces: list[tuple[str, float]], model_type: str) -> Tokenizer:
    """sentencepiece's pieces as tokenizer.json: identity normaliser but for space to U+2581, byte fallback."""
    vocab = {piece: i for i, (piece, _) in enumerate(pieces)}
    if model_type == "unigram":
        model: dict[str, Any] = {
            "type": "Unigram",
            "unk_id": 0,
            "vocab": [[p, s] for p, s in pieces],
            "byte_fallback": True,
        }
    else:
        single = {piece for piece in vocab if re.fullmatch(r"<0x[0-9A-F]{2}>|<unk>", piece)}
        model = bpe_model(vocab, piece_merges(vocab, float, single), "<unk>", byte_fallback=True)
    spec = metaspace_spec(
        model,
        added_tokens(len(pieces)),
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        {
            "type": "Split",
            "pattern": {"Regex": r"▁+[^▁\n]*|[^▁\n]+"},
            "behavior": "Isolated",
            "invert": False,
        },
    )
    return Tokenizer(spec, standard_config())


def _wordpiece(texts: Iterator[str], wanted: int, asked: int) -> Tokenizer:
    import json

    from tokenizers import Tokenizer as HfTokenizer
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = HfTokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=wanted, special_tokens=special, show_progress=False)
    )
    size = made.get_vocab_size()
    if size != wanted:
        raise _too_large(asked, size)
    spec = json.loads(made.to_str())
    spec["added_tokens"] += added_tokens(size)
    return Tokenizer(
        spec,
        {
            **standard_config(),
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
    )
