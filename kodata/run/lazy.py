"""Names of a package that load on first use, so that ``import kodata`` stays fast.

A verb and its module may share a name (``kotok.train`` in ``kotok/train.py``). Importing the module would then
overwrite the function on the package; a property on the package's own class wins over that, in any order.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def expose(package: str, names: Mapping[str, str]) -> list[str]:
    """Make ``names`` (name -> "module" or "module:attribute") attributes of ``package``; returns ``__all__``."""

    def lazy(name: str, target: str) -> property:
        module, _, attribute = target.partition(":")

        def get(_: ModuleType) -> Any:
            return getattr(import_module(module), attribute or name)

        def keep(_: ModuleType, value: Any) -> None:
            """The import system sets the submodule here; the name stays the function."""

        return property(get, keep)

    members = {name: lazy(name, target) for name, target in names.items()}
    module = sys.modules[package]
    module.__class__ = type("LazyPackage", (ModuleType,), members)
    return sorted(names)
