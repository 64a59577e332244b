"""JSON files too large to hold (a year of news in one list): the items of their one long list, one by one.

The head of the file up to that list is kept, so that each item can be put back into a small file of the same layout:
what recognises and reads small files does large ones too.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from kodata.sources.aihub.tolerant import loads
from kodata.sources.streams import BrokenInput
from kodata.text.encoding import sniff

MAX_ITEM_BYTES = 64 << 20
MAX_HEAD_BYTES = 8 << 20
MAX_TAIL_BYTES = 1 << 20
STEP = 1 << 20
_TOKEN = re.compile(rb'[{}\[\]]|"[^"\\]*(?:\\.[^"\\]*)*+(?:"(?:\s*:)?|(?P<open>\\?\Z))', re.S)
_LISTS = {b"data", b"data_info", b"document", b"documents", b"named_entity", b"paragraphs", b"conversations", b"text", b"info",
          b"rows", b"items", b"records", b"articles"}  # fmt: skip
"""Names of lists that hold the items of a file."""


class Item(NamedTuple):
    """One element of the long list. number: from 1; error: why it cannot be read, for the user."""

    number: int
    value: Any
    error: str = ""


class _Scanner:
    """Walks over JSON bytes block by block and keeps only the element it is in."""

    def __init__(self, blocks: Iterator[bytes]):
        self._blocks = blocks
        self._buffer = bytearray()
        self._stack: list[bytes] = []
        self._key = b""
        self._at = 0
        """Everything before is understood."""
        self._ended = False
        self.head = b""
        self.closers = b""

    def _more(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            return False
        self._buffer += block
        return True

    def _token(self) -> tuple[int, bytes] | None:
        """(end, token) of the next bracket or string; None at the end. A string cut by the block's end waits for more."""
        while True:
            found = _TOKEN.search(self._buffer, self._at)
            cut = found is None or (found[0][:1] == b'"' and found.end() == len(self._buffer))
            if found and (not cut or (self._ended and found["open"] is None)):
                self._at = found.end()
                return found.end(), found[0]
            if self._ended or not self._more():
                if found and found["open"] is None:
                    continue
                return None
            if len(self._buffer) - self._at > MAX_ITEM_BYTES + STEP:
                raise BrokenInput(f"JSON에 {MAX_ITEM_BYTES >> 20} MiB가 넘는 글 (a string over the limit)")

    def find_list(self) -> bool:
        """Read up to the list of items; False when there is none in the first bytes."""
        while len(self._buffer) < MAX_HEAD_BYTES or self._at < MAX_HEAD_BYTES:
            found = self._token()
            if found is None:
                return False
            end, token = found
            if token[:1] == b'"':
                self._key = token.rstrip(b" \t\r\n:").strip(b'"') if token[-1:] == b":" else b""
            elif token in b"{[":
                named = self._key in _LISTS or not self._stack
                if token == b"[" and named and b"[" not in self._stack and self._holds_objects():
                    self.head, self.closers = bytes(self._buffer[:end]), b"]" + b"}" * len(self._stack)
                    del self._buffer[:end]
                    self._at = 0
                    return True
                self._stack.append(token)
                self._key = b""
            else:
                if not self._stack:
                    return False
                self._stack.pop()
        return False

    def _holds_objects(self) -> bool:
        while not (rest := bytes(self._buffer[self._at : self._at + 256]).lstrip()):
            if not self._more():
                return False
        return rest[:1] in b"{["

    def elements(self) -> Iterator[bytes | None]:
        """Bytes of each element; None for one over the limit, which is passed by without being held."""
        depth, start, over = 0, -1, False
        while (found := self._token()) is not None:
            end, token = found
            if token in b"{[":
                if depth == 0:
                    start = end - 1
                depth += 1
            elif token in b"}]" and token:
                if depth == 0:
                    del self._buffer[:end]
                    self._at = 0
                    return
                depth -= 1
                if depth == 0:
                    yield None if over else bytes(self._buffer[start:end])
                    del self._buffer[:end]
                    self._at, start, over = 0, -1, False
            if depth and self._at > MAX_ITEM_BYTES:
                over = True
            if over or (depth == 0 and self._at > STEP):
                del self._buffer[: self._at]
                self._at = start = 0
        raise BrokenInput("JSON이 중간에 끊김 (JSON ends early)")

    def tail(self) -> int:
        """Bytes after the list, beyond closing brackets and blanks."""
        size = len(bytes(self._buffer).translate(None, b" \t\r\n}]"))
        while self._more():
            size += len(bytes(self._buffer).translate(None, b" \t\r\n}]"))
            self._buffer.clear()
        return size


def blocks_of(begun: bytes, handle: BinaryIO) -> Iterator[bytes]:
    """The file as UTF-8 in blocks, without a BOM, whatever its charset."""
    encoding = sniff(begun[: 1 << 16])
    plain = encoding.startswith("utf-8")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    block, first = begun, True
    while block:
        for start in range(0, len(block), STEP):
            piece = block[start : start + STEP]
            out = piece if plain else decoder.decode(piece).encode("utf-8", "replace")
            if first:
                out, first = out.removeprefix(codecs.BOM_UTF8), False
            if out:
                yield out
        block = handle.read(STEP)


def is_lines(begun: bytes) -> bool:
    """Whether a large file called .json is JSON lines: its first line is whole, and another begins."""
    first, _, rest = begun[:MAX_HEAD_BYTES].lstrip(codecs.BOM_UTF8 + b" \t\r\n").partition(b"\n")
    try:
        return rest.lstrip()[:1] == b"{" and isinstance(loads(first), dict)
    except ValueError:
        return False


def lines(begun: bytes, handle: BinaryIO) -> Iterator[Item]:
    """The values of JSON lines, one by one; number: of the line."""
    number, held, over = 0, b"", False
    for block in blocks_of(begun, handle):
        *whole, held = (held + block).split(b"\n")
        for line in whole:
            number += 1
            yield from _line(number, line, over)
            over = False
        if len(held) > MAX_ITEM_BYTES:
            held, over = b"", True
    yield from _line(number + 1, held, over)


def _line(number: int, line: bytes, over: bool) -> Iterator[Item]:
    if over:
        yield Item(number, None, _over())
    elif line := line.strip(b"\0 \t\r\x1e"):
        try:
            yield Item(number, loads(line))
        except ValueError as error:
            yield Item(number, None, f"JSON이 깨짐 (broken JSON: {str(error)[:120]})")


def _over() -> str:
    return f"항목이 {MAX_ITEM_BYTES >> 20} MiB를 넘음 (item over {MAX_ITEM_BYTES >> 20} MiB)"


class Bulk:
    """A large JSON file: `skeleton(value)` is a file of the same layout with this one item; `items()` all of them."""

    def __init__(self, begun: bytes, handle: BinaryIO):
        self._scanner = _Scanner(blocks_of(begun, handle))
        self.found = self._scanner.find_list()
        self._root = None
        if self.found:
            try:
                self._root = loads(self._scanner.head + self._scanner.closers)
            except ValueError:
                self.found = False

    def skeleton(self, value: Any) -> Any:
        """The head of the file with one item in its list."""
        if isinstance(self._root, list):
            return [value]
        return _filled(self._root, value)

    def items(self) -> Iterator[Item]:
        """Every element in order. Raises BrokenInput when the file is cut."""
        for number, data in enumerate(self._scanner.elements(), 1):
            if data is None:
                yield Item(number, None, _over())
                continue
            try:
                yield Item(number, loads(data))
            except ValueError as error:
                yield Item(number, None, f"JSON이 깨짐 (broken JSON: {str(error)[:120]})")
        if (rest := self._scanner.tail()) > MAX_TAIL_BYTES:
            yield Item(0, None, f"목록 뒤의 {rest} 바이트를 읽지 않음 (bytes after the list are not read)")


def _filled(root: Any, value: Any) -> Any:
    """The open objects of the head are its last values, down to the empty list."""
    if not isinstance(root, dict) or not root:
        return [value]
    last = next(reversed(root))
    return {**root, last: [value] if isinstance(root[last], list) else _filled(root[last], value)}
