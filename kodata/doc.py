"""The document contract: one JSON object a line, ``{"id", "text", "source", "meta"}``, and the corpus folder.

text is UTF-8, NFC, with ``\\n`` line ends. meta keeps ``licence``, ``url``, ``kind``, ``date``, ``title`` under these
names; unknown top-level keys of an input go into meta. Ids are stable for the life of a document.
A corpus folder holds ``docs/NNNNN.jsonl.zst`` (or ``.jsonl.gz``, ``.jsonl``, ``.parquet``) beside its run files.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any

from kodata.run.errors import UserError
from kodata.run.files import atomic_open, digest_of, fingerprint

SUFFIXES = (".jsonl.zst", ".jsonl.gz", ".jsonl", ".parquet")
MAX_LINE_BYTES = 512 * 1024 * 1024
WRITE_BYTES = 256 * 1024


@dataclass(slots=True)
class Document:
    """One text with where it came from."""

    id: str
    text: str
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the contract, keys in the contract's order."""
        return {"id": self.id, "text": self.text, "source": self.source, "meta": self.meta}

    @classmethod
    def from_dict(
        cls, record: Mapping[str, Any], *, file: Path | str = "", line: int | None = None
    ) -> "Document":
        """Read one record. Raises UserError naming file, line and key when ``text`` or ``id`` is not a string."""
        get = record.get
        name, text, source, meta = get("id"), get("text"), get("source"), get("meta")
        if len(record) == 4 and type(name) is type(text) is type(source) is str and type(meta) is dict:
            return cls(name, text, source, meta.copy())  # as we write it
        for key in ("id", "text"):
            if not isinstance(get(key), str):
                raise UserError(
                    f'문서에 문자열 "{key}" 가 없습니다 (document without a string "{key}")',
                    "원자료는 먼저 `kodata clean` 을 거칩니다 (run `kodata clean` on raw data first)",
                    file=file,
                    line=line,
                )
        meta = dict(meta or {}) if isinstance(meta, Mapping) or not meta else {}
        known = ("id", "text", "source", "meta")
        meta.update({key: value for key, value in record.items() if key not in known})
        return cls(record["id"], record["text"], str(record.get("source") or ""), meta)


def text_id(text: str) -> str:
    """A stable id from the content alone: 16 hex digits of BLAKE2b over UTF-8."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def place_id(source: str, locator: str) -> str:
    """A stable id from where a document stands (file, member, line): 16 hex digits."""
    return blake2b(f"{source}\0{locator}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class ShardWriter:
    """Writes records of one shard; made by ``write_shard``."""

    def __init__(self, handle: IO[bytes]):
        import orjson

        self._handle, self._dumps, self._options = handle, orjson.dumps, orjson.OPT_APPEND_NEWLINE
        self._waiting: list[bytes] = []
        self._size = 0
        self.count = 0

    def write(self, record: Document | Mapping[str, Any]) -> None:
        """Write one document, or any JSON-able mapping (dropped records, scores)."""
        self.write_lines([self._line(record.to_dict() if isinstance(record, Document) else record)])

    def write_all(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Write JSON-able mappings, all of them or, when one of them is not JSON-able (TypeError), none."""
        self.write_lines([self._line(value) for value in values])

    def write_line(self, line: bytes) -> None:
        """Write a line that is JSON already, its end included."""
        self.write_lines([line])

    def write_lines(self, lines: list[bytes]) -> None:
        """The same for several lines."""
        self._waiting += lines
        self._size += sum(map(len, lines))
        self.count += len(lines)
        if self._size >= WRITE_BYTES:
            self.flush()

    def _line(self, value: Mapping[str, Any]) -> bytes:
        return self._dumps(value, None, self._options)

    def flush(self) -> None:
        """Hand what waits to the file: a call to the compressor for each short record costs more than the record."""
        self._handle.write(b"".join(self._waiting))
        self._waiting.clear()
        self._size = 0


@contextmanager
def write_shard(path: str | Path) -> Iterator[ShardWriter]:
    """Write one JSONL shard atomically; ``.zst``, ``.gz`` or plain by the name's end. Byte-identical for equal records."""
    path = Path(path)
    with atomic_open(path, "wb") as raw:
        if path.name.endswith(".zst"):
            import zstandard

            with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as handle:
                yield (writer := ShardWriter(handle))
                writer.flush()
        elif path.name.endswith(".gz"):
            import gzip

            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as handle:
                yield (writer := ShardWriter(handle))  # type: ignore[arg-type]
                writer.flush()
        else:
            yield (writer := ShardWriter(raw))
            writer.flush()


@contextmanager
def open_lines(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a possibly compressed text file for reading bytes. A cut or broken archive becomes a UserError."""
    import gzip
    import zlib

    import zstandard

    path = Path(path)
    if not path.is_file():
        raise UserError(f"파일이 없습니다 (no such file): {path}")
    broken = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)
    try:
        with open(path, "rb") as raw:
            if path.name.endswith(".zst"):
                import io

                yield io.BufferedReader(
                    zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True), 1 << 20
                )
            elif path.name.endswith(".gz"):
                with gzip.open(raw) as handle:
                    yield handle  # type: ignore[misc]
            else:
                yield raw
    except broken as error:
        raise UserError(
            f"압축이 깨졌습니다 (broken archive): {error}",
            "파일을 다시 받으십시오 (fetch the file again)",
            file=path,
        ) from None


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line) of a JSONL shard, but for blank lines."""
    with open_lines(path) as handle:
        for number, line in enumerate(iter(lambda: handle.readline(MAX_LINE_BYTES), b""), 1):
            if line.strip():
                yield number, line


def read_records(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, record) of a JSONL shard or Parquet file. Broken lines raise UserError naming file and line."""
    path = Path(path)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        number = 0
        try:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
        except (OSError, ValueError) as error:
            raise UserError(f"Parquet을 읽을 수 없습니다 (cannot read Parquet): {error}", file=path) from None
        return
    import orjson

    for number, line in read_lines(path):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UserError(f"JSON이 깨진 줄 (broken JSON line): {error}", file=path, line=number) from None
        if not isinstance(record, dict):
            raise UserError(
                f"JSON 객체가 아닌 줄 (line is not a JSON object): {line[:60]!r}", file=path, line=number
            )
        yield number, record


def read_rows(path: str | Path, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Records of some documents of a shard (ascending places from 0). The lines of others are not parsed."""
    import orjson

    wanted, stop = set(rows), rows[-1] + 1 if rows else 0
    if str(path).endswith(".parquet"):
        yield from (r for row, (_, r) in enumerate(islice(read_records(path), stop)) if row in wanted)
        return
    for row, (_, line) in enumerate(islice(read_lines(path), stop)):
        if row in wanted:
            yield orjson.loads(line)


def read_shard(path: str | Path) -> Iterator[Document]:
    """Documents of one shard, in order. Raises UserError naming file, line and key."""
    for line, record in read_records(path):
        yield Document.from_dict(record, file=path, line=line)


class Corpus:
    """A handle on cleaned documents: a corpus output folder, or document files.

    Raises UserError when a folder is an unfinished run, or holds no document shard.
    """

    def __init__(self, *paths: str | Path):
        if not paths:
            raise UserError("말뭉치가 주어지지 않았습니다 (no corpus given)")
        self.paths = [Path(p) for p in paths]
        self._shards = [shard for path in self.paths for shard in _shards_of(path)]

    def shards(self) -> list[Path]:
        """Shard files in order."""
        return list(self._shards)

    def documents(self) -> Iterator[Document]:
        """All documents in order."""
        for shard in self._shards:
            yield from read_shard(shard)

    def __iter__(self) -> Iterator[Document]:
        return self.documents()

    def __len__(self) -> int:
        return sum(1 for shard in self._shards for _ in read_records(shard))

    def fingerprint(self) -> str:
        """Hex digest of the corpus content (of the runs' manifests for run folders)."""
        return digest_of([fingerprint(path) for path in self.paths])

    def head(self, n: int = 5) -> list[Document]:
        """The first ``n`` documents."""
        return list(islice(self.documents(), n))

    def _repr_html_(self) -> str:
        from kodata.report.blocks import samples
        from kodata.report.html import fragment

        items = [{"label": d.id, "text": d.text[:400], "note": d.source} for d in self.head()]
        return fragment([samples(f"말뭉치 (corpus): {', '.join(map(str, self.paths))}", items)])


def _shards_of(path: Path) -> Iterable[Path]:
    from kodata.run.inputs import expand, is_run, refuse_unfinished

    if path.is_dir() and (path / "docs").is_dir():
        if is_run(path):
            refuse_unfinished(path)
        return expand([path / "docs"], SUFFIXES)
    return expand([path], SUFFIXES)
