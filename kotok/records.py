"""What kotok reads: documents, plain text files, chats and pairs; the kind is found by looking at the first record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from kodata.doc import SUFFIXES, Corpus, open_lines, read_records, text_id
from kodata.run.errors import UserError
from kodata.run.inputs import expand

Kind = Literal["text", "chat", "pair"]
TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
FOREIGN_SUFFIXES = (
    ".json",
    ".csv",
    ".tsv",
    ".xlsx",
    ".html",
    ".htm",
    ".xml",
    ".warc",
    ".epub",
    ".hwpx",
    ".zip",
    ".pdf",
)
PAIR_KEYS = ("chosen", "rejected", "chosen_response", "rejected_response")

# A plain text file is one document up to this size; a larger one (one document or line a corpus) is read in pieces of
# about this many bytes, cut at line ends.
TEXT_PIECE_BYTES = 1 << 20


@dataclass(slots=True)
class Text:
    """One document as kotok sees it."""

    id: str
    text: str
    source: str
    meta: dict[str, Any] = field(default_factory=dict)


def input_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Files behind the inputs. Of a kodata output folder only docs/; of an unfinished one nothing (UserError).

    A file given twice, by another path or through a link too, is read once.
    """
    files: dict[Path, Path] = {}
    for item in inputs:
        path = Path(item)
        if path.is_dir() and (path / "docs").is_dir():
            found = Corpus(path).shards()
        else:
            found = expand([path], (*SUFFIXES, *TEXT_SUFFIXES))
        for file in found:
            files.setdefault(file.resolve(), file)
    return list(files.values())


def is_plain_text(path: Path) -> bool:
    """Whether a file is text itself and not records. UserError for forms that kodata reads and kotok does not."""
    name = path.name.lower()
    if name.endswith(SUFFIXES):
        return False
    bare = name.removesuffix(".gz").removesuffix(".zst")
    if bare.endswith(FOREIGN_SUFFIXES):
        raise UserError(
            f"kotok이 바로 읽는 형식이 아닙니다 (not a form kotok reads itself): {path}",
            "먼저 kodata clean, kodata sft, kodata dpo 로 바꾸십시오 (convert it with those verbs first)",
        )
    return True


def kind_of(path: Path) -> Kind | None:
    """text, chat or pair by the first record; None for a file without records. UserError for a form nobody knows."""
    if is_plain_text(path):
        return "text" if path.stat().st_size else None
    line, record = next(islice(read_records(path), 1), (0, None))
    if record is None:
        return None
    if isinstance(record.get("text"), str):
        return "text"
    if any(key in record for key in PAIR_KEYS):
        return "pair"
    from kodata.chat.forms import chat_form
    from kodata.chat.records import RecordError

    try:
        chat_form(record, answers=False)
    except RecordError:
        raise UserError(
            f"문서도 대화도 쌍도 아닙니다 (neither document nor chat nor pair), 키 (keys): {', '.join(record)}",
            "kodata clean, kodata sft, kodata dpo가 만든 파일을 주십시오 (give what those verbs wrote)",
            file=path,
            line=line,
        ) from None
    return "chat"


def read_texts(path: Path) -> Iterator[Text]:
    """Documents of one file in order. Raises UserError naming file and line for a record without text."""
    if is_plain_text(path):
        yield from _read_plain(path)
        return
    for line, record in read_records(path):
        text = record.get("text")
        if not isinstance(text, str):
            raise UserError(
                '문서에 문자열 "text"가 없습니다 (record without a string "text")',
                "원자료는 먼저 `kodata clean`을 거칩니다 (run `kodata clean` on raw data first)",
                file=path,
                line=line,
            )
        id = record.get("id")
        meta = record.get("meta")
        yield Text(
            id if isinstance(id, str) and id else text_id(text),
            text,
            str(record.get("source") or path.name),
            meta if isinstance(meta, dict) else {},
        )


def _read_plain(path: Path) -> Iterator[Text]:
    number = 0
    with open_lines(path) as handle:
        while piece := b"".join(handle.readlines(TEXT_PIECE_BYTES)):
            try:
                text = piece.decode("utf-8-sig" if number == 0 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"UTF-8이 아닙니다 (not UTF-8): {error}",
                    "kodata clean이 인코딩을 알아냅니다 (kodata clean detects encodings)",
                    file=path,
                ) from None
            yield Text(f"{path.name}:{number}", text, path.name)
            number += 1


def read_examples(path: Path, kind: Kind) -> Iterator[tuple[int, Any]]:
    """(line, Chat or Pair) of one file, each checked. UserError names file, line and key of the first wrong one."""
    from kodata.chat import forms, records, rows

    for line, row in rows.read_rows(path):
        try:
            if isinstance(row, rows.BadRow):
                raise records.RecordError("", row.message)
            if kind == "chat":
                chat = forms.chat_of(row)
                records.check_chat(chat)
                yield line, chat
            else:
                pair = forms.pair_of(row)
                records.check_pair(pair)
                yield line, pair
        except records.RecordError as error:
            raise records.user_error(error, path, line) from None


def train_texts(path: Path) -> Iterator[Text]:
    """What a tokenizer learns from: documents, or the turns of chats and pairs (one text a record)."""
    kind = kind_of(path)
    if kind == "text":
        yield from read_texts(path)
    elif kind == "chat":
        from kodata.chat.read import read_chats

        for chat in read_chats(path, answers=False):
            yield Text(
                chat.id, "\n".join(m.content for m in chat.messages), chat.source or path.name, chat.meta
            )
    elif kind == "pair":
        from kodata.chat.read import read_pairs

        for pair in read_pairs(path):
            turns = [*pair.prompt, *pair.chosen, *pair.rejected]
            yield Text(pair.id, "\n".join(m.content for m in turns), pair.source or path.name, pair.meta)
