"""No setting is NaN or infinite: every comparison with NaN is false, so range checks alone let it through."""

import math
from dataclasses import fields
from typing import Any

from kodata.run.errors import UsageError


def check_finite(config: Any, prefix: str = "--") -> None:
    """Refuse a config dataclass with a float field that is NaN or infinite; `prefix` begins its flags.

    Raises:
        UsageError: names the flag and the value.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(
                f"{prefix}{field.name.replace('_', '-')} 는 유한한 수입니다 (must be a finite number): {value}",
                help="기본값은 --help 에 있습니다 (defaults are in --help)",
            )
