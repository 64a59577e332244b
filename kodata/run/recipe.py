"""Recipes: one YAML file, tool -> verb -> the verb's flags. A flag beats the recipe, the recipe beats the default."""

from pathlib import Path
from typing import Any

from kodata.run.errors import UsageError, did_you_mean

TOOLS = ("kodata", "kotok", "kobitnet")
MAX_BYTES = 1_000_000


class Recipe:
    """A recipe file: ``section(tool)`` gives verb -> flags, ``line(keys)`` the line a key stands on."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lines: dict[tuple[str, ...], int] = {}
        self.data = self._load()

    def _load(self) -> dict[str, Any]:
        import yaml

        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise UsageError("레시피가 1 MB를 넘습니다 (recipe over 1 MB)", file=self.path)
            text = self.path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise UsageError(
                f"레시피 파일이 없습니다 (no such recipe): {self.path}",
                "-c 의 경로를 확인하십시오 (check the path after -c)",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"레시피를 읽을 수 없습니다 (cannot read recipe): {error}",
                "-c 뒤에는 YAML 파일이 옵니다 (a YAML file comes after -c)",
                file=self.path,
            ) from None
        try:
            tree = yaml.compose(text, Loader=yaml.SafeLoader)
            data = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            raise UsageError(
                f"YAML 문법이 틀렸습니다 (bad YAML): {getattr(error, 'problem', None) or error}",
                "들여쓰기와 콜론 뒤의 빈칸을 확인하십시오 (check indentation and the space after ':')",
                file=self.path,
                line=None if mark is None else mark.line + 1,
            ) from None
        if tree is not None:
            self._note_lines(tree, ())
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise self.error(
                (), f"레시피의 뿌리는 도구 이름이어야 합니다 (the root must map tools): {type(data).__name__}"
            )
        for tool, verbs in data.items():
            if tool not in TOOLS:
                raise self.error(
                    (str(tool),), f"모르는 도구 (unknown tool): {tool}", did_you_mean(str(tool), list(TOOLS))
                )
            if verbs is not None and not isinstance(verbs, dict):
                raise self.error(
                    (tool,), f"{tool} 아래에는 동사가 와야 합니다 (verbs expected under {tool}): {verbs!r}"
                )
        return data

    def _note_lines(self, node: Any, keys: tuple[str, ...]) -> None:
        import yaml

        if len(keys) > 16 or not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            inner = (*keys, str(key.value))
            if inner in self._lines:
                raise UsageError(
                    f"열쇠가 두 번 나옵니다 (duplicate key): {key.value}, 앞의 것은 (the first on line) {self._lines[inner]}",
                    "하나만 남기십시오 (keep one)",
                    file=self.path,
                    line=key.start_mark.line + 1,
                )
            self._lines[inner] = key.start_mark.line + 1
            self._note_lines(value, inner)

    def section(self, tool: str, verbs: list[str]) -> dict[str, Any]:
        """verb -> flags for one tool, with underscores as the code spells them. Unknown verbs are refused."""
        section = self.data.get(tool) or {}
        for verb, flags in section.items():
            if verb not in verbs:
                raise self.error(
                    (tool, str(verb)),
                    f"모르는 동사 (unknown verb): {tool} {verb}",
                    did_you_mean(str(verb), verbs),
                )
            if flags is not None and not isinstance(flags, dict):
                raise self.error(
                    (tool, verb), f"{tool} {verb} 아래에는 옵션이 와야 합니다 (options expected): {flags!r}"
                )
        return {verb: flags or {} for verb, flags in section.items()}

    def line(self, keys: tuple[str, ...]) -> int | None:
        """The line of a key path, or of its nearest known parent."""
        while keys:
            if keys in self._lines:
                return self._lines[keys]
            keys = keys[:-1]
        return None

    def error(self, keys: tuple[str, ...], message: str, help: str = "") -> UsageError:
        """A UsageError that names this file and the key's line."""
        return UsageError(message, help, file=self.path, line=self.line(keys))
