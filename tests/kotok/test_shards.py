"""Token shards: round trip, datatrove's own reader, refusal of damaged files."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kodata.run.errors import UserError
from kotok.shard_writer import PartWriter
from kotok.shards import ShardWriter, open_shards, token_dtype


def write(folder, documents, *, kind="text", vocab_size=300, split="train", parts=1):
    with ShardWriter(folder, kind=kind, vocab_size=vocab_size, tokenizer_fingerprint="f00d") as writer:
        for i, (ids, mask) in enumerate(documents):
            if i and parts > 1 and i % (len(documents) // parts) == 0:
                writer.next_part(split)
            writer.write(ids, mask, split=split, nbytes=3 * len(ids))
    return folder


def test_golden_bytes_of_a_chat_part(tmp_path):
    write(tmp_path, [([1, 2, 259], [0, 1, 1]), ([5], [1])], kind="chat")
    assert (tmp_path / "train/00000.ds").read_bytes() == b"\x01\x00\x02\x00\x03\x01\x05\x00"
    assert (tmp_path / "train/00000.ds.index").read_bytes() == (3).to_bytes(8, "little") + (4).to_bytes(
        8, "little"
    )
    assert (tmp_path / "train/00000.ds.loss").read_bytes() == b"\x00\x01\x01\x01"
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["dtype"] == "uint16" and meta["kind"] == "chat" and meta["splits"]["train"]["targets"] == 3


def test_u32_above_65536(tmp_path):
    assert token_dtype(65_536).itemsize == 2 and token_dtype(65_537).itemsize == 4
    write(tmp_path, [([70_000, 1], None)], vocab_size=100_032)
    assert open_shards(tmp_path).tokens(0).tolist() == [70_000, 1]


documents = st.lists(
    st.lists(st.tuples(st.integers(0, 299), st.integers(0, 1)), min_size=1, max_size=9),
    min_size=1,
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(documents, st.sampled_from(["text", "chat"]), st.integers(1, 4))
def test_round_trip(tmp_path_factory, docs, kind, parts):
    folder = tmp_path_factory.mktemp("shards")
    data = [([t for t, _ in d], [m for _, m in d] if kind == "chat" else None) for d in docs]
    shards = open_shards(write(folder, data, kind=kind, parts=min(parts, len(data))))
    assert len(shards) == len(data) and shards.bytes == 3 * shards.num_tokens
    assert [shards.tokens(i).tolist() for i in range(len(shards))] == [ids for ids, _ in data]
    if kind == "chat":
        assert [shards.mask(i).tolist() for i in range(len(shards))] == [mask for _, mask in data]
        assert [(t.tolist(), m.tolist()) for t, m in shards.documents()] == data
    else:
        assert shards.mask(0) is None and shards.num_targets == shards.num_tokens
    stream = [t for ids, _ in data for t in ids]
    assert shards.span(0, shards.num_tokens).tolist() == stream
    middle = shards.num_tokens // 3
    assert shards.span(middle, 2 * middle).tolist() == stream[middle : 2 * middle]
    assert shards.lengths().tolist() == [len(ids) for ids, _ in data]
    again = pickle.loads(pickle.dumps(shards))
    assert again.tokens(0).tolist() == data[0][0]


@pytest.mark.parametrize("vocab_size", [300, 70_016])
def test_datatrove_reads_tokens_and_positions(tmp_path, vocab_size):
    from datatrove.utils.dataset import DatatroveFolderDataset

    docs = [list(range(1, 8)), list(range(10, 15)), list(range(20, 33)), [40, 41, 42]]
    write(tmp_path, [(d, None) for d in docs], vocab_size=vocab_size)
    stream = [t for d in docs for t in d]
    positions = [p for d in docs for p in range(len(d))]
    dataset = DatatroveFolderDataset(
        str(tmp_path / "train"), seq_len=6, token_size=token_dtype(vocab_size).itemsize, return_positions=True
    )
    assert len(dataset) == len(stream) // 7
    for i in range(len(dataset)):
        assert dataset[i]["input_ids"].tolist() == stream[7 * i : 7 * i + 7]
        ours = np.array(positions[7 * i : 7 * i + 7])
        theirs = dataset[i]["positions"].numpy()
        # datatrove counts a document cut by the window's edge from the window's start
        first_end = int(np.argmax(ours == 0)) if (ours == 0).any() else len(ours)
        assert theirs[first_end:].tolist() == ours[first_end:].tolist()
        assert theirs[:first_end].tolist() == list(range(first_end))


def test_datatrove_token_files_agree_byte_for_byte(tmp_path):
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    docs = [([1, 2, 3], [0, 1, 1]), ([9, 9], [1, 0])]
    write(tmp_path / "ours", docs, kind="chat")
    (tmp_path / "theirs").mkdir()
    file = TokenizedFile(str(tmp_path / "theirs"), "00000.ds", save_loss_metadata=True)
    for ids, mask in docs:
        file.write(ids, np.array(mask, dtype=bool))
    file.close()
    for suffix in ("", ".index", ".loss"):
        name = f"00000.ds{suffix}"
        assert (tmp_path / "ours/train" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_wrong_documents_are_refused(tmp_path):
    writer = PartWriter(tmp_path, "train", 0, kind="chat", vocab_size=10)
    for ids, mask in [([], []), ([10], [1]), ([-1], [1]), ([1, 2], [1]), ([1], None), ([1], [2])]:
        with pytest.raises(ValueError):
            writer.write(ids, mask)
    writer.abort()
    assert not any((tmp_path / "train").glob("*")) if (tmp_path / "train").exists() else True


def test_a_failing_part_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), PartWriter(tmp_path, "train", 0, kind="text", vocab_size=10) as writer:
        writer.write([1, 2])
        raise RuntimeError
    assert list((tmp_path / "train").iterdir()) == []


def test_an_empty_part_leaves_no_file(tmp_path):
    with PartWriter(tmp_path, "val", 0, kind="text", vocab_size=10):
        pass
    assert not (tmp_path / "val").exists()


def damage_truncate(folder):
    file = folder / "train/00000.ds"
    file.write_bytes(file.read_bytes()[:-2])


def damage_missing(folder):
    (folder / "train/00000.ds.loss").unlink()


def damage_ids(folder):
    file = folder / "train/00000.ds"
    file.write_bytes(b"\xff\xff" + file.read_bytes()[2:])


def damage_index(folder):
    file = folder / "train/00000.ds.index"
    file.write_bytes(file.read_bytes()[::-1])


def damage_version(folder):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "version": 99}))


def damage_meta(folder):
    (folder / "meta.json").unlink()


@pytest.mark.parametrize(
    "damage", [damage_truncate, damage_missing, damage_ids, damage_index, damage_version, damage_meta]
)
def test_damage_is_named(tmp_path, damage):
    write(tmp_path, [([1, 2, 3], [0, 1, 1]), ([4, 5], [1, 1])], kind="chat")
    open_shards(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)):
        open_shards(tmp_path)


def test_missing_split_says_what_is_there(tmp_path):
    write(tmp_path, [([1, 2, 3], None)])
    with pytest.raises(UserError, match="train"):
        open_shards(tmp_path, "val")


def test_objects_show_themselves_in_a_notebook(tmp_path: Path) -> None:
    from kotok.chat import render
    from kotok.tokenizer import build

    tokenizer = build([], "llama-bpe")
    messages = [{"role": "user", "content": "안녕"}, {"role": "assistant", "content": "네"}]
    ids, mask = render(tokenizer, messages)
    with ShardWriter(
        tmp_path / "s",
        kind="chat",
        vocab_size=tokenizer.vocab_size,
        tokenizer_fingerprint=tokenizer.fingerprint,
    ) as writer:
        writer.write(ids, mask)
    tokenizer.save(tmp_path / "s" / "tokenizer")
    page = open_shards(tmp_path / "s")._repr_html_()
    assert "배움 (learned)" in page and "가림 (masked)" in page
    assert tokenizer.fingerprint in tokenizer._repr_html_()
