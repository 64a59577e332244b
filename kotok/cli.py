"""The `kotok` command: a table of verbs."""

from kodata.run.app import Tool

tool = Tool("kotok", "한국어 토크나이저 학습·비교·인코딩 (train, compare and apply Korean tokenizers)")
tool.verb("train", "kotok.train:train", "토크나이저 학습 (train a tokenizer)")
tool.verb(
    "extend", "kotok.extend:extend", "있는 토크나이저에 한국어 토큰 더하기 (add Korean tokens to a tokenizer)"
)
tool.verb(
    "encode", "kotok.encode:encode", "문서·대화를 토큰 샤드로 (encode corpora and chats into token shards)"
)
tool.verb("eval", "kotok.evaluate:evaluate", "토크나이저 비교 (compare tokenizers)")
tool.verb("inspect", "kotok.inspect:inspect", "글을 토큰 하나하나로 보기 (show text token by token)")
main = tool.main
