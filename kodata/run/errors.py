"""Errors a user can act on: one line that names file, line and value, and one line that says the way out."""

from pathlib import Path


class UserError(Exception):
    """Something the user can fix: a missing file, a broken record, a full disk. Exit code 1.

    The first line names what was wrong (file and line first, when known); ``help`` is the command or the
    change that gets the user out of it. Both are Korean first, English in parentheses.
    """

    code = 1

    def __init__(
        self, message: str, help: str = "", *, file: str | Path | None = None, line: int | None = None
    ):
        where = "" if file is None else f"{file}:{line}: " if line is not None else f"{file}: "
        super().__init__(where + message)
        self.help = help

    def __reduce__(self) -> tuple:  # keeps help across process pools
        return _rebuild, (type(self), str(self), self.help)

    def lines(self) -> list[str]:
        """The one or two lines the command line prints."""
        return [f"오류 (error): {self}"] + ([f"도움: {self.help}"] if self.help else [])


class UsageError(UserError):
    """A flag, a recipe key or an argument is wrong. Exit code 2."""

    code = 2


def _rebuild(kind: type[UserError], message: str, help: str) -> UserError:
    return kind(message, help)


def did_you_mean(word: str, known: list[str]) -> str:
    """``혹시 X? (did you mean X?)`` for the nearest known word, or an empty string."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"혹시 {near[0]}? (did you mean {near[0]}?)" if near else ""
