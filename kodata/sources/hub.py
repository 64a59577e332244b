"""Datasets by their Hub name, `hf:owner/name[:config[:split]]`, streamed through the `datasets` library.

The name may also be a local folder the library can load. Pieces are the dataset's own files, so that work units stay the
same whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kodata.run.errors import UserError
from kodata.sources.fields import NoText, record
from kodata.sources.record import Failure, Part, Record, Settings

PREFIX = "hf:"


class Address(NamedTuple):
    """Name or folder, configuration and split of a dataset."""

    name: str
    config: str | None
    split: str


def parse(address: str) -> Address:
    """`hf:owner/name[:config[:split]]`. Raises UserError for an empty name or too many parts."""
    name, *rest = address.removeprefix(PREFIX).split(":")
    if not name or len(rest) > 2:
        raise UserError(
            f"데이터셋 이름이 틀렸습니다 (bad dataset name): {address}",
            "hf:owner/name[:config[:split]], 예: hf:wikimedia/wikipedia:20231101.ko",
        )
    return Address(
        name, rest[0] or None if rest else None, rest[1] if len(rest) == 2 and rest[1] else "train"
    )


def open_dataset(address: str) -> Any:
    """The streaming dataset. Raises UserError when the library is missing, the name unknown or the network down."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"hf: 입력에는 datasets 라이브러리가 필요합니다 (needs the datasets library): {address}",
            "pip install datasets",
        ) from None
    import logging

    name, config, split = parse(address)
    datasets.disable_progress_bars()
    for library in ("huggingface_hub", "datasets", "fsspec"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # its retries are told in our one line
    try:
        return datasets.load_dataset(name, config, split=split, streaming=True)
    except Exception as error:  # the library raises a dozen kinds: not found, gated, offline, bad config
        text = str(error).strip().split("\n")[0][:300]
        raise UserError(
            f"데이터셋을 열 수 없습니다 (cannot open dataset): {address}: {text}",
            "이름·config·split과 네트워크를 확인하십시오 (check name and network)",
        ) from None


def dataset_parts(address: str, argument: int) -> list[Part]:
    """One part for each file of the dataset."""
    shards = max(1, int(getattr(open_dataset(address), "num_shards", 1)))
    return [
        Part(path=address, name=address, form="hf", shard=i, shards=shards, size=64 << 20, argument=argument)
        for i in range(shards)
    ]


def read_dataset(part: Part, settings: Settings) -> Iterator[Record | Failure]:
    """Rows of one piece of the dataset."""
    dataset = open_dataset(part.path)
    if part.shards > 1:
        dataset = dataset.shard(num_shards=part.shards, index=part.shard, contiguous=True)
    for number, row in enumerate(dataset, 1):
        place = f"{part.shard}/{number}"
        try:
            yield record(row, place, settings)
        except NoText as error:
            yield Failure(part.label, place, str(error))
