"""Work units, fixed at the first launch: which parts of which files, in which order, with which settings.

The plan is kept in the run folder, so that a resumed run, on any number of workers, does the same units. Shard NNNNN is
unit NNNNN: output order is input order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kodata.run.errors import UserError
from kodata.run.files import atomic_json, read_json_object
from kodata.run.inputs import expand
from kodata.run.progress import note
from kodata.sources.forms import parts
from kodata.sources.hub import PREFIX, parse
from kodata.sources.record import Part, Settings, SourceRule, shown
from kodata.sources.stdin import SPOOL

FORMAT = 2
SMALLEST_UNIT, LARGEST_UNIT, WANTED_UNITS = 4 << 20, 256 << 20, 64
MAX_PARTS_A_UNIT = 2000


@dataclass(kw_only=True, slots=True)
class Plan:
    """arguments: inputs as given; settings[0] are the defaults, settings[i] those of source rule i-1."""

    arguments: list[str]
    settings: list[Settings]
    units: list[list[Part]]
    files: list[str] = field(default_factory=list)
    """Input files in order: on a resume from elsewhere they are the same contents in the same order."""
    sizes: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """About how many bytes of text there are."""
        return sum(self.sizes)

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        units = [[_small(part) for part in unit] for unit in self.units]
        atomic_json(
            path,
            {
                "format": FORMAT,
                "arguments": self.arguments,
                "settings": [asdict(s) for s in self.settings],
                "units": units,
                "files": self.files,
            },
        )

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read it back. Raises UserError for another format."""
        value = read_json_object(path)
        if value.get("format") != FORMAT:
            raise UserError(
                "다른 판의 계획 파일 (plan of another version)", "--fresh 로 새로 시작하십시오", file=path
            )
        return _plan(
            value["arguments"],
            [Settings(**s) for s in value["settings"]],
            [[Part(**p) for p in u] for u in value["units"]],
            value["files"],
        )

    def move_to(self, files: Sequence[Path]) -> bool:
        """Point the units at where the input files are now (another working directory, a moved folder).

        The run folder has checked that contents and order are those of the first launch. Returns whether anything moved.
        """
        places = dict(zip(self.files, map(str, files), strict=True))
        moved = any(old != new for old, new in places.items())
        if moved:
            for unit in self.units:
                for part in unit:
                    part.path = places.get(part.path, part.path)
            self.files = list(places.values())
        return moved


def _small(part: Part) -> dict[str, Any]:
    plain = Part(path="", name="", form="")
    return {k: v for k, v in asdict(part).items() if k in ("path", "name", "form") or v != getattr(plain, k)}


def _plan(arguments: list[str], settings: list[Settings], units: list[list[Part]], files: list[str]) -> Plan:
    return Plan(
        arguments=arguments,
        settings=settings,
        units=units,
        files=files,
        sizes=[sum(p.size for p in unit) for unit in units],
    )


def _named(argument: str, path: Path) -> str:
    """How a file is called in ids: from the given folder on, or with its own folder's name."""
    root = Path(argument)
    if path.parent.name.endswith(SPOOL):
        return path.name  # standard input has no folder
    if root.is_dir():
        return shown(
            str(Path(root.resolve().name) / path.relative_to(root))
            if path.is_relative_to(root)
            else path.name
        )
    return shown("/".join(path.resolve().parts[-2:]))


def input_files(inputs: Sequence[str], output: Path | None = None) -> list[tuple[int, Path]]:
    """(argument number, file) of all inputs, each file once; `hf:` addresses as they are. Raises UserError."""
    if not inputs:
        raise UserError("입력이 없습니다 (no input given)", "kodata clean 파일·폴더 … -o 출력")
    found: dict[str, tuple[int, Path]] = {}
    for number, argument in enumerate(inputs):
        if argument.startswith(PREFIX):
            parse(argument)
        files = (
            [Path(argument)]
            if argument.startswith(PREFIX)
            else expand([argument], exclude=[output] if output else [])
        )
        for path in files:
            key = argument if argument.startswith(PREFIX) else str(path.resolve())
            found.setdefault(key, (number, path))
    return list(found.values())


def resolve(path: Path, name: str, rules: Iterable[SourceRule]) -> int:
    """Number of the settings for a file: 1 + the first matching rule, 0 for none."""
    for number, rule in enumerate(rules, 1):
        if any(fnmatch(candidate, rule.match) for candidate in (str(path), name, path.name)):
            return number
    return 0


def make_plan(
    inputs: Sequence[str],
    rules: Sequence[SourceRule],
    defaults: Settings,
    form: str = "auto",
    *,
    one_unit: bool = False,
    output: Path | None = None,
) -> Plan:
    """Cut the inputs into units of about equal size. `one_unit`: everything in one, in order (for --limit)."""
    files = input_files(inputs, output)
    total = sum(path.stat().st_size for _, path in files if not str(path).startswith(PREFIX))
    unit_bytes = min(max(total // WANTED_UNITS, SMALLEST_UNIT), LARGEST_UNIT)
    settings = [defaults]
    for rule in rules:
        settings.append(
            Settings(
                text_field=rule.text or defaults.text_field,
                source=rule.source or "",
                licence=rule.licence or defaults.licence,
                kind=rule.kind or defaults.kind,
                profile=rule.profile or defaults.profile,
                split=rule.split or defaults.split,
            )
        )
    units: list[list[Part]] = []
    size = 0
    for argument, path in files:
        hub = str(path).startswith(PREFIX)
        name = str(path) if hub else _named(inputs[argument], path)
        rule_number = resolve(path, name, rules)
        wanted = (rules[rule_number - 1].form if rule_number else None) or form
        for part in parts(path, name, wanted, unit_bytes, argument):
            part.settings = rule_number
            full = (
                not one_unit and (size + part.size > unit_bytes or len(units[-1]) >= MAX_PARTS_A_UNIT)
                if units
                else True
            )
            if full:
                units.append([])
                size = 0
            units[-1].append(part)
            size += part.size
    unused = [
        rule.match for n, rule in enumerate(rules, 1) if n not in {p.settings for u in units for p in u}
    ]
    if unused:
        note(f"알림: 맞는 파일이 없는 sources 규칙 (sources rules that match no file): {', '.join(unused)}")
    return _plan(list(inputs), settings, units, [str(path) for _, path in files])
