"""Speed of the whole `kodata clean` (web profile) against datatrove with FineWeb-2's Korean filters, on the same documents.

    python tests/bench/clean.py [DATA] [--megabytes N] [--no-peers] [--workers] [--memory]

DATA is the folder of `corpus/` (else KOBITNET_DATA, else ../shared/data). Two sets of real documents, equal bytes of each kind: those
of 2 KB and more, and the shorter ones. Each side runs in a process of its own on one core: reading JSONL, everything it
does, writing; imports and the loading of models are not counted on either side, processor time is (user and system). The peers:
(a) Kiwi words, its broken default model replaced by injection, (b) words between blanks.
"""

import argparse
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SPLIT_BYTES = 2000
TIMES = 3
STOP_WORDS = "의 다 이 는 에 을 한 년 하 은 를 했 고 에서 가 있 으로 인 월 로 되".split()


def sample(data: Path, megabytes: float, long: bool) -> list[bytes]:
    """JSON lines, equal bytes of each kind."""
    kinds: dict[str, list[bytes]] = {}
    for file in sorted((data / "corpus").glob("*/*.jsonl.gz")):
        with gzip.open(file) as lines:
            for line in lines:
                if (len(json.loads(line)["text"].encode()) >= SPLIT_BYTES) == long:
                    kinds.setdefault(file.parent.name, []).append(line)
    rng, found = random.Random(1), []
    for lines in kinds.values():
        rng.shuffle(lines)
        left = megabytes * 1e6 / len(kinds)
        for line in lines:
            if left <= 0:
                break
            found.append(line)
            left -= len(json.loads(line)["text"].encode())
    rng.shuffle(found)
    return found


def timed(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def run_ours(file: Path, out: Path) -> float:
    """Seconds of one `kodata clean`."""
    from kodata.lang import by_model
    from kodata.pipeline.clean import CleanConfig, clean

    by_model("this loads the model")
    tiny = out / "tiny.jsonl"
    tiny.write_text(json.dumps({"text": "처음 한 번은 표를 만듭니다. " * 20}) + "\n", encoding="utf-8")
    clean([str(tiny)], output=out / "tiny", config=CleanConfig(profile="web"), workers=1)
    return timed(
        lambda: clean([str(file)], output=out / "docs", config=CleanConfig(profile="web"), workers=1) and None
    )


def run_peer(file: Path, out: Path, words: str) -> float:
    """Seconds of the same with datatrove."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.word_tokenizers import KiwiTokenizer, WordTokenizer

    class Blanks(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return text.split(".")

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return []

    tokenizer = KiwiTokenizer(model_type="cong") if words == "kiwi" else Blanks()
    tokenizer.word_tokenize("모델을 미리 읽습니다.")
    steps = [
        JsonlReader(str(file.parent), glob_pattern=file.name, compression=None),
        GopherRepetitionFilter(
            dup_line_frac=0.374, dup_para_frac=0, dup_line_char_frac=0, dup_para_char_frac=0, language=tokenizer,
            top_n_grams=((2, 0.282), (3, 0.228), (4, 0.185)),
            dup_n_grams=((5, 0.201), (6, 0.184), (7, 0.168), (8, 0.154), (9, 0.14), (10, 0.127)),
        ),
        FineWebQualityFilter(
            line_punct_thr=0.062, new_line_ratio=0.196, short_line_thr=999, char_duplicates_ratio=0.1, language=tokenizer
        ),
        GopherQualityFilter(
            min_avg_word_length=1, max_avg_word_length=6, max_non_alpha_words_ratio=0.791, min_stop_words=2,
            stop_words=STOP_WORDS, language=tokenizer,
        ),
        FTFYFormatter(), PIIFormatter(), JsonlWriter(str(out / "docs"), compression=None),
    ]  # fmt: skip
    executor = LocalPipelineExecutor(steps, tasks=1, logging_dir=str(out / "logs"))
    return timed(lambda: executor._run_for_rank(0) and None)


def alone(what: str, file: Path) -> dict[str, float]:
    """Run one side in a process of its own: its seconds and its peak memory in MB."""
    command = [sys.executable, __file__, "--run", what, "--file", str(file)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    return json.loads(answer.splitlines()[-1])


def compare(data: Path, megabytes: float, folder: Path) -> None:
    """The table of both sets."""
    for name in ("long", "short"):
        lines = sample(data, megabytes, name == "long")
        file = folder / f"{name}.jsonl"
        file.write_bytes(b"".join(lines))
        size = sum(len(json.loads(line)["text"].encode()) for line in lines) / 1e6
        print(f"\n{name}: {len(lines):,} documents, {size:.2f} MB", flush=True)
        ours = min(alone("ours", file)["seconds"] for _ in range(TIMES))
        print(f"  kodata clean      {size / ours:8.2f} MB/s {len(lines) / ours:10,.0f} docs/s", flush=True)
        for peer in ("split", "kiwi"):
            seconds = min(alone(peer, file)["seconds"] for _ in range(TIMES if peer == "split" else 1))
            print(
                f"  datatrove {peer:6}  {size / seconds:8.2f} MB/s {len(lines) / seconds:10,.0f} docs/s   kodata is {seconds / ours:.1f} x",
                flush=True,
            )


def copies(data: Path, megabytes: float, times: int, folder: Path) -> Path:
    """A larger corpus: the documents again and again under new ids."""
    lines = sample(data, megabytes, True)
    file, number = folder / f"copies{times}.jsonl", 0
    with open(file, "w", encoding="utf-8") as handle:
        for _ in range(times):
            for line in lines:
                number += 1
                handle.write(json.dumps(json.loads(line) | {"id": f"{number:x}"}, ensure_ascii=False) + "\n")
    return file


def workers(data: Path, megabytes: float, folder: Path) -> None:
    """Wall time of the command with one worker, with two, and of two commands of one worker side by side, which shows what two
    processes can gain on this machine at all; the best of two. Says little on a busy machine."""
    file = copies(data, megabytes, 20, folder)
    seconds: dict[str, float] = {}
    for turn in range(2):
        for name, each in (("one", (1,)), ("two", (2,)), ("side by side", (1, 1))):
            outs = [folder / f"{name}{turn}{n}" for n in range(len(each))]
            start = time.monotonic()
            jobs = [
                subprocess.Popen(
                    [sys.executable, "-m", "kodata", "clean", str(file), "-o", str(out), "--profile", "web", "--workers", str(n), "-q"],
                    stdout=subprocess.DEVNULL,
                )
                for n, out in zip(each, outs, strict=True)
            ]  # fmt: skip
            if any(job.wait() for job in jobs):
                raise SystemExit("kodata clean failed")
            seconds[name] = min(seconds.get(name, 1e9), time.monotonic() - start)
            for out in outs:
                shutil.rmtree(out)
    print(
        f"\nworkers, {file.stat().st_size / 1e6:.0f} MB, start-up included: one {seconds['one']:.1f} s, two {seconds['two']:.1f} s, "
        f"{seconds['one'] / seconds['two']:.2f} x; two commands side by side {2 * seconds['one'] / seconds['side by side']:.2f} x"
    )


def memory(data: Path, megabytes: float, folder: Path) -> None:
    """Peak memory of one worker at two sizes of the corpus."""
    for times in (2, 10):
        file = copies(data, megabytes, times, folder)
        print(f"peak memory at {file.stat().st_size / 1e6:.0f} MB: {alone('ours', file)['memory']:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--megabytes", type=float, default=12)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--run", choices=["ours", "split", "kiwi"])
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if given.run:
            out = Path(place)
            seconds = (
                run_ours(given.file, out) if given.run == "ours" else run_peer(given.file, out, given.run)
            )
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"seconds": seconds, "memory": peak}))
            return
        beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
        data = given.data or Path(os.environ.get("KOBITNET_DATA") or beside)
        if given.peers:
            compare(data, given.megabytes, Path(place))
        if given.workers:
            workers(data, given.megabytes, Path(place))
        if given.memory:
            memory(data, given.megabytes, Path(place))
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
