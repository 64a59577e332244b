"""`kotok extend`: Korean tokens for a tokenizer that has few, its old ids and merges untouched.

New merges come after all old ones, so a text is first cut exactly as before and then joined further where new merges
apply; all of them make Hangul, so text without Hangul encodes to the same ids. New ids follow the highest old one, hence
an embedding table only grows. `extend.json` says of every new id which old ids it stands for: the mean of their rows is
where its embedding starts.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from kodata.run.errors import UsageError, UserError
from kodata.run.files import atomic_json
from kodata.run.flags import Flat, Fresh, Inputs, Limit, Output, Parameter, Workers, worker_count
from kodata.run.folder import open_run
from kodata.run.progress import progress
from kodata.run.result import Result
from kotok.bpe import Merge, pack_words, token_strings
from kotok.holdout import DEFAULT_SHARE, check_share, held_out, holdout_key
from kotok.pattern import printable
from kotok.records import input_files, train_texts
from kotok.renumbered import Renumbered
from kotok.shown import show
from kotok.tokenizer import Tokenizer, load

MAPPING = "extend.json"
FORMAT = 1
COPIED = ("special_tokens_map.json", "chat_template.jinja", "chat_template.json")
"""Files kept as they are beside tokenizer.json and tokenizer_config.json; old vocabularies in other forms are not."""


@dataclass(kw_only=True, slots=True)
class ExtendConfig:
    """What decides the new tokens."""

    add: int = 8000
    """추가할 토큰 수, 전체가 64의 배수가 되도록 올림 (tokens to add, rounded up so that all are a multiple of 64)"""
    share: Annotated[float, Parameter(name=["--share", "-t"])] = 0.75
    """새 토큰 중 형태소 안에서 학습할 비율, 0이면 Kiwi 없이 (share of new tokens learned inside morphemes; 0: without Kiwi)"""
    min_type_count: Annotated[int, Parameter(name=["--min-type-count", "-k"])] = 3
    """이 횟수 이상 나온 어형만 Kiwi로 분석 (word types seen this often are cut by Kiwi)"""
    val: float = DEFAULT_SHARE
    """학습에서 제외할 문서의 비율 (share held out)"""

    def __post_init__(self) -> None:
        check_share(self.val)
        if self.add < 1 or not 0 <= self.share <= 1 or self.min_type_count < 1:
            raise UsageError(
                f"--add 1 이상, --share 0에서 1, --min-type-count 1 이상 (out of range): {self.add}, {self.share}, {self.min_type_count}",
                "기본값은 --help 에 있습니다 (defaults are in --help)",
            )


def extend(
    base: Annotated[Path, Parameter(help="늘릴 토크나이저 폴더 (tokenizer folder to extend)")],
    inputs: Inputs,
    /,
    *,
    output: Output,
    config: Annotated[ExtendConfig | None, Flat] = None,
    limit: Limit = None,
    workers: Workers = 0,
    fresh: Fresh = False,
) -> Result:
    """있는 토크나이저에 한국어 토큰 더하기 (add Korean tokens to an existing tokenizer).

    `base` is a byte-level BPE folder (Llama 3's, Qwen's, ours). The output opens with `AutoTokenizer`, keeps special
    tokens, their ids and the chat template, and holds `extend.json`, from which `kobitnet convert --tok` starts the
    new embeddings.

    Raises:
        UserError: not byte-level BPE, no Hangul in the input, or too little of it for so many tokens.
    """
    config = config or ExtendConfig()
    files = input_files(inputs)
    old = load(base)
    plain = Renumbered(old, base)
    settings = {**asdict(config), "limit": limit, "base": old.fingerprint}
    with open_run(
        output, tool="kotok", verb="extend", config=settings, inputs=[*files, base], fresh=fresh
    ) as run:
        if run.done:
            return run.result()
        wanted = -(-(old.vocab_size + config.add) // 64) * 64 - old.vocab_size
        merges, facts = _learn(plain, _texts(files, config, limit), wanted, config, worker_count(workers))
        made, mapping = _join(old, plain, merges)
        for name in COPIED:
            if (base / name).is_file():
                shutil.copyfile(base / name, run.path / name)
        special = run.path / "special_tokens_map.json"
        kept = special.read_bytes() if special.is_file() else None
        atomic_json(
            run.path / MAPPING,
            {
                "format": FORMAT,
                "base_fingerprint": old.fingerprint,
                "base_vocab_size": old.vocab_size,
                "fingerprint": made.fingerprint,
                "vocab_size": made.vocab_size,
                "pieces": {str(i): ids for i, ids in mapping.items()},
            },
        )
        made.save(run.path)
        if kept is not None:
            special.write_bytes(kept)
        return _finish(run, old, made, mapping, facts)


def _texts(files: Sequence[Path], config: ExtendConfig, limit: int | None) -> Iterator[str]:
    taken = 0
    for file in files:
        for document in train_texts(file):
            if limit is not None and taken >= limit:
                return
            if not held_out(holdout_key(document.id, document.meta), config.val):
                taken += 1
                yield document.text


def _learn(
    plain: Renumbered, texts: Iterator[str], wanted: int, config: ExtendConfig, workers: int
) -> tuple[list[Merge], dict[str, Any]]:
    from kotok.staged import train_staged

    kiwi = None
    if config.share > 0:
        from kotok.kiwi import load_kiwi_early

        kiwi = load_kiwi_early(workers)
    counts: Counter[bytes] = Counter()
    documents = 0
    with progress("한글 어형 세기 (counting Hangul words)", unit="문서") as bar:
        for text in texts:
            documents += 1
            counts.update(plain.words(text))
            bar.advance(1, bytes=len(text))
    if not counts:
        raise UserError(
            "배울 한글이 없습니다 (no Hangul to learn from)", "입력을 확인하십시오 (check the inputs)"
        )
    known = len(plain.old_ids)
    made = train_staged(
        pack_words(list(counts), list(counts.values())),
        known + wanted,
        share=config.share,
        min_type_count=config.min_type_count,
        kiwi=kiwi,
        base=plain.merges,
    )
    if made.tokens < known + wanted:
        raise UserError(
            f"글에 비해 더할 토큰이 너무 많습니다 (too many tokens for this text): {wanted}",
            f"추가할 수 있는 토큰은 약 (at most about): --fresh --add {max(1, made.tokens - known - 63)}",
        )
    facts = {"documents": documents, "types": len(counts), "tokens_inside_morphemes": made.inside}
    return made.merges[len(plain.merges) :], facts


def _join(
    old: Tokenizer, plain: Renumbered, merges: Sequence[Merge]
) -> tuple[Tokenizer, dict[int, list[int]]]:
    """The extended tokenizer, and of each new id the old ids it stands for."""
    strings = token_strings([*plain.merges, *merges])
    vocab = old.spec["model"]["vocab"]
    known = len(plain.old_ids)
    ids, pieces = list(plain.old_ids), [[i] for i in plain.old_ids]
    added: dict[str, int] = {}
    mapping: dict[int, list[int]] = {}
    following = old.vocab_size
    for left, right, joined in merges:
        if joined < len(ids):
            continue
        text = printable(strings[joined])
        pieces.append([*pieces[left], *pieces[right]])
        if text in vocab:  # a token that no merge of the old vocabulary made
            ids.append(vocab[text])
            continue
        ids.append(following)
        added[text] = following
        try:
            mapping[following] = old.encode(strings[joined].decode())
        except UnicodeDecodeError:  # the beginning of a character
            mapping[following] = pieces[joined]
        following += 1
    assert len(ids) == len(strings) and known <= len(ids)
    spec = deepcopy(old.spec)
    # `tokenizers` gives an added token the id of its string in the vocabulary, else the next after it: the old control
    # tokens therefore go into the vocabulary too, where no merge makes them.
    control = {t["content"]: t["id"] for t in spec.get("added_tokens") or []}
    for text, i in control.items():
        if spec["model"].get("ignore_merges") and old._hf.pre_tokenizer.pre_tokenize_str(text)[1:] == []:
            raise UserError(
                f"제어 토큰이 한 낱말과 같습니다 (a control token that is a plain word): {text}",
                "이 토크나이저는 늘릴 수 없습니다 (this tokenizer cannot be extended)",
            )
        added.setdefault(text, i)
    spec["model"]["vocab"] = {**vocab, **added}
    texts = [printable(s) for s in strings]
    old_merges = spec["model"]["merges"]  # all of them, first
    joined_by = isinstance(old_merges[0], str) if old_merges else False
    spec["model"]["merges"] = [
        *old_merges,
        *(f"{texts[a]} {texts[b]}" if joined_by else [texts[a], texts[b]] for a, b, _ in merges),
    ]
    return Tokenizer(spec, {**old.config, "tokenizer_class": "PreTrainedTokenizerFast"}), mapping


def _finish(
    run: Any, old: Tokenizer, made: Tokenizer, mapping: dict[int, list[int]], facts: dict[str, Any]
) -> Result:
    from kodata.report import blocks
    from kotok.comparison import SENTENCES

    before = [old.encode(s) for s in SENTENCES]
    after = [made.encode(s) for s in SENTENCES]
    summary = {
        "vocab_size": made.vocab_size,
        "base_vocab_size": old.vocab_size,
        "added": len(mapping),
        "fingerprint": made.fingerprint,
        **facts,
    }
    mean = sum(map(len, mapping.values())) / max(len(mapping), 1)
    report = [
        blocks.facts("늘린 토크나이저 (extended tokenizer)", {k: str(v) for k, v in summary.items()}),
        *(
            blocks.tokens(
                "같은 문장 (the same sentence)",
                [
                    {"label": name, "tokens": [(show(t.token(i)), n % 6) for n, i in enumerate(ids)]}
                    for name, t, ids in (("앞 (before)", old, a), ("뒤 (after)", made, b))
                ],
            )
            for a, b in zip(before, after, strict=True)
        ),
        blocks.samples(
            "새 토큰과 옛 조각 (new tokens and their old pieces)",
            [
                {
                    "label": show(made.token(i)),
                    "text": " ".join(f"[{show(old.token(p))}]" for p in mapping[i]),
                }
                for i in list(mapping)[:: max(1, len(mapping) // 60)]
            ],
        ),
    ]
    lines = [
        f"어휘 (vocabulary): {old.vocab_size:,} → {made.vocab_size:,}, 새 토큰 하나에 옛 조각 (old pieces a new token) {mean:.2f}",
        f"보기 문장의 토큰 (tokens of the sample sentences): {sum(map(len, before))} → {sum(map(len, after))}",
    ]
    return run.finish(summary=summary, report=report, lines=lines)


def read_mapping(folder: Path) -> dict[str, Any] | None:
    """`extend.json` of a tokenizer folder, checked; None where there is none.

    Raises:
        UserError: another format, or ids that do not fit the sizes it names.
    """
    from kodata.run.files import read_json_object

    path = folder / MAPPING
    if not path.is_file():
        return None
    found = read_json_object(path)
    try:
        old, size = int(found["base_vocab_size"]), int(found["vocab_size"])
        pieces = {int(i): [int(p) for p in ids] for i, ids in found["pieces"].items()}
        whole = all(old <= i < size and ids and all(0 <= p < old for p in ids) for i, ids in pieces.items())
        if found["format"] != FORMAT or not whole:
            raise ValueError(f"format {found['format']}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{MAPPING} 을 이해하지 못합니다 (not understood): {error!r}",
            "kotok extend를 다시 실행하십시오 (run kotok extend again)",
            file=path,
        ) from None
    return {**found, "pieces": pieces}
