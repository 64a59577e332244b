"""The tokenizer: load, encode, decode, save. On disk it is what `AutoTokenizer.from_pretrained` opens without our code.

Byte-level BPE of a known pattern runs in our native encoder (kotok/csrc; the same ids as Hugging Face `tokenizers`,
which is the test oracle and the fallback). Every other tokenizer.json (sentencepiece kinds, WordPiece, Llama's or
Qwen's folder) runs in `tokenizers`.

`encode` takes ordinary text: a control string somebody typed (`<|eot_id|>`) stays text and never becomes a control id.
Mind that stock transformers turns it into the control id; only kotok and what is built on it do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from kodata.run.errors import UserError
from kodata.run.files import atomic_json, atomic_open, read_json_object
from kotok.bpe import Merge, flat_merges, native, token_strings
from kotok.pattern import MAX_DIGITS, REGEX, printable
from kotok.shown import facts_of, show
from kotok.tokenizer_json import (
    BOS,
    END_OF_TURN,
    EOT,
    PAD,
    added_tokens,
    byte_level_spec,
    our_merges,
    piece_decoder,
    split_regex,
    standard_config,
    vocabulary,
)


def load(path: str | Path) -> Tokenizer:
    """Open a tokenizer folder, or a tokenizer.json. Raises UserError when it is missing, unfinished or not understood."""
    path = Path(path)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        if (path / "manifest.json").is_file():
            raise UserError(
                f"토크나이저가 끝까지 만들어지지 않았습니다 (unfinished tokenizer): {path}",
                "같은 kotok train 명령을 다시 실행하십시오 (run the same kotok train again)",
            )
        raise UserError(
            f"토크나이저가 없습니다 (no tokenizer, tokenizer.json expected): {path}",
            f"kotok train 말뭉치 -o {path} --vocab-size 32000",
        )
    spec = read_json_object(file)
    config_file = file.parent / "tokenizer_config.json"
    config = read_json_object(config_file) if config_file.is_file() else {}
    return Tokenizer(spec, config)


def build(merges: Sequence[Merge], pattern: str, config: dict[str, Any] | None = None) -> Tokenizer:
    """A byte-level BPE tokenizer of `merges`, the control tokens after them; `config` goes into tokenizer_config.json."""
    strings = [printable(s) for s in token_strings(merges)]
    spec = byte_level_spec(
        {s: i for i, s in enumerate(strings)},
        [[strings[a], strings[b]] for a, b, _ in merges],
        REGEX[pattern],
        added_tokens(len(strings)),
    )
    return Tokenizer(spec, {**standard_config(), **(config or {})})


class Tokenizer:
    """Text to ids and back. Made by `load` or `build`; pickles as its files."""

    def __init__(self, spec: dict[str, Any], config: dict[str, Any]) -> None:
        self.spec = spec
        """The content of tokenizer.json."""
        self.config = config
        """The content of tokenizer_config.json."""
        try:
            self.control: dict[str, int] = {
                t["content"]: t["id"] for t in spec.get("added_tokens") or [] if t.get("special")
            }
            self._ids: dict[str, int] = vocabulary(spec)
            self._plain_added = {
                t["id"]: t["content"] for t in spec.get("added_tokens") or [] if not t.get("special")
            }
            self.merges: list[Merge] | None = our_merges(spec)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise UserError(
                f"tokenizer.json을 이해하지 못합니다 (tokenizer.json not understood): {error!r}",
                "Hugging Face fast tokenizer 형식이어야 합니다 (a fast-tokenizer file is expected)",
            ) from None
        highest = max([-1, *self._ids.values(), *self.control.values(), *self._plain_added])
        self.vocab_size: int = highest + 1
        """Number of ids, control tokens included; ours are a multiple of 64."""
        self._max_digits = next(
            (
                MAX_DIGITS[name]
                for name, one in REGEX.items()
                if self.merges is not None and one == split_regex(spec)
            ),
            3,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, (self.spec, self.config)

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, {self.vocab_size:,} ids, {self.fingerprint[:12]})"

    def _repr_html_(self) -> str:
        from kodata.report import blocks
        from kodata.report.html import fragment

        return fragment([blocks.facts("토크나이저 (tokenizer)", facts_of(self))])

    # -- ids of control tokens ----------------------------------------------------------------------------------------

    def control_id(self, name: str) -> int:
        """Id of a control token by its string. Raises UserError when this tokenizer has none of that name."""
        found = self.control.get(name)
        if found is None:
            raise UserError(
                f"이 토크나이저에는 제어 토큰 {name} 이 없습니다 (no such control token)",
                "kotok train이 만든 토크나이저를 쓰십시오 (use a tokenizer that kotok train made)",
            )
        return found

    def _role_id(self, name: str, key: str) -> int:
        configured = self.config.get(key)
        if isinstance(configured, dict):
            configured = configured.get("content")
        return self.control_id(name if name in self.control or not configured else configured)

    @property
    def bos_id(self) -> int:
        """Begin of text."""
        return self._role_id(BOS, "bos_token")

    @property
    def eot_id(self) -> int:
        """End of text: closes every document."""
        return self._role_id(EOT, "eos_token")

    @property
    def end_of_turn_id(self) -> int:
        """The control token that closes a turn in this tokenizer's chat template: `<|eot_id|>`, or `<|im_end|>` where
        the template says so; without either the end of text."""
        template = str(self.config.get("chat_template") or "")
        names = [name for name in (END_OF_TURN, "<|im_end|>") if name in self.control]
        return self.control[next((n for n in names if n in template), names[0])] if names else self.eot_id

    @property
    def pad_id(self) -> int:
        """Padding (in a foreign tokenizer without one, its end of text)."""
        return (
            self._role_id(PAD, "pad_token")
            if PAD in self.control or self.config.get("pad_token")
            else self.eot_id
        )

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """bpe, unigram or wordpiece, byte-level or not."""
        name = str(self.spec["model"].get("type") or "BPE").lower()
        return f"byte-level {name}" if self.merges is not None else name

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of everything that decides ids: vocabulary, merges, pre-tokenizer, normaliser, control tokens."""
        model = {k: v for k, v in self.spec["model"].items() if k != "merges"}
        merges = [
            list(m) if not isinstance(m, str) else m.split(" ", 1)
            for m in self.spec["model"].get("merges") or []
        ]
        added = sorted(
            [t["id"], t["content"], bool(t.get("special"))] for t in self.spec.get("added_tokens") or []
        )
        facts = [model, merges, self.spec.get("pre_tokenizer"), self.spec.get("normalizer"), added]
        return blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()

    @cached_property
    def _strings(self) -> list[bytes]:
        """Bytes of every id as it is decoded; control tokens as their own string, holes empty."""
        strings = [b""] * self.vocab_size
        decode = piece_decoder(self.spec)
        for piece, i in self._ids.items():
            strings[i] = decode(piece)
        for i, text in self._plain_added.items():
            strings[i] = text.encode()
        for text, i in self.control.items():
            strings[i] = text.encode()
        return strings

    def token(self, i: int) -> bytes:
        """The bytes of one id (a control token's own string). Raises IndexError outside the vocabulary."""
        if not 0 <= i < self.vocab_size:
            raise IndexError(f"id {i} outside the vocabulary of {self.vocab_size}")
        return self._strings[i]

    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes each id stands for, (vocab_size,) int32; 0 for control tokens."""
        sizes = np.array([len(s) for s in self._strings], dtype=np.int32)
        sizes[list(self.control.values())] = 0
        return sizes

    # -- text to ids --------------------------------------------------------------------------------------------------

    @cached_property
    def _native(self) -> Any:
        code = native() if self.merges is not None else None
        return None if code is None else code.Encoder(flat_merges(self.merges or []), self._max_digits)

    @cached_property
    def _hf(self) -> Any:
        from tokenizers import Tokenizer as HfTokenizer

        try:
            made = HfTokenizer.from_str(json.dumps(self.spec, ensure_ascii=False))
        except Exception as error:  # `tokenizers` raises plain Exception
            raise UserError(
                f"tokenizer.json을 이해하지 못합니다 (tokenizer.json not understood): {error}"
            ) from None
        made.encode_special_tokens = True  # typed control strings stay text
        made.no_truncation()
        made.no_padding()
        return made

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text; control strings stay text. Raises UserError for lone surrogates."""
        return self.encode_flat([text])[0].tolist()

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """`encode` of each text."""
        ids, ends = self.encode_flat(texts, threads)
        every = ids.tolist()
        stops = ends.tolist()
        return [every[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)] if stops else []

    def encode_flat(self, texts: Sequence[str], threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts end to end (u32) and where each text ends (u64): the fast way for many texts."""
        try:
            if self._native is not None:
                return self._native.encode(texts if isinstance(texts, list) else list(texts), threads)
            rows = [e.ids for e in self._hf.encode_batch_fast(list(texts), add_special_tokens=False)]
        except (UnicodeEncodeError, TypeError) as error:
            raise _not_encodable(texts) or error from None
        ids = np.fromiter((i for row in rows for i in row), dtype=np.uint32)
        return ids, np.cumsum([len(row) for row in rows], dtype=np.uint64)

    @property
    def byte_exact(self) -> bool:
        """Whether the bytes of the tokens, end to end, are the text: byte-level BPE of ours."""
        return self.merges is not None

    def spans(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """(ids, (n, 2) character positions each token covers), by the `tokenizers` library."""
        encoding = self._hf.encode(text, add_special_tokens=False)
        spans = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        return np.asarray(encoding.ids, dtype=np.int64), spans

    def anew(self) -> Tokenizer:
        """The same with an empty cache, for timing."""
        return Tokenizer(self.spec, self.config)

    # -- ids to text --------------------------------------------------------------------------------------------------

    def decode_bytes(self, ids: Iterable[int], skip_special: bool = False) -> bytes:
        """The bytes of ids, end to end (byte-level kinds: exactly what was encoded)."""
        hidden = set(self.control.values()) if skip_special else ()
        return b"".join(self.token(int(i)) for i in ids if i not in hidden)

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Text of ids; bytes that are no UTF-8 (a cut character) become U+FFFD."""
        if self.merges is None:
            return self._hf.decode([int(i) for i in ids], skip_special_tokens=skip_special)
        return self.decode_bytes(ids, skip_special).decode("utf-8", "replace")

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the files `AutoTokenizer` opens and, for byte-level BPE, merges.vocab.txt for people."""
        folder = Path(folder)
        named = {
            key: self.config[key]
            for key in ("bos_token", "eos_token", "pad_token", "unk_token")
            if self.config.get(key)
        }
        atomic_json(folder / "tokenizer_config.json", self.config)
        atomic_json(folder / "special_tokens_map.json", named)
        if self.merges is not None:
            with atomic_open(folder / "merges.vocab.txt", "w") as handle:
                handle.writelines(self._merge_lines())
        # Last: a folder with tokenizer.json is whole.
        with atomic_open(folder / "tokenizer.json", "w") as handle:
            json.dump(self.spec, handle, ensure_ascii=False, indent=1)
            handle.write("\n")

    def _merge_lines(self) -> Iterable[str]:
        yield "# 순위 [왼쪽][오른쪽] -> [이어진 토큰] 번호 (rank, merge, id); 0-255는 바이트 (ids 0-255 are the bytes)\n"
        for rank, (left, right, joined) in enumerate(self.merges or []):
            yield f"{rank}\t[{show(self.token(left))}][{show(self.token(right))}] -> [{show(self.token(joined))}] {joined}\n"
        for text, i in self.control.items():
            yield f"control\t{text} {i}\n"


def _not_encodable(texts: Sequence[str]) -> UserError | None:
    for n, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return UserError(
                f"UTF-8이 될 수 없는 글자가 있습니다 (lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, text {n})",
                "kodata clean을 거치거나 그 글자를 지우십시오 (run kodata clean or remove the character)",
            )
    return None
