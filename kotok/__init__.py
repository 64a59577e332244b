"""kotok: Korean tokenizers: train, encode, judge. Names load on first use."""

from kodata.run.lazy import expose

__all__ = expose(
    __name__,
    {
        "load": "kotok.tokenizer",
        "Tokenizer": "kotok.tokenizer",
        "open_shards": "kotok.shards",
        "ShardWriter": "kotok.shards",
        "render": "kotok.chat",
        "prompt_ids": "kotok.chat",
        "train": "kotok.train",
        "extend": "kotok.extend",
        "encode": "kotok.encode",
        "inspect": "kotok.inspect",
        "evaluate": "kotok.evaluate",
    },
)
