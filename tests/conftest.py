"""Shared fixtures: real data where it is there, Hypothesis settings, a quiet house."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # stock transformers compiles its quantiser: 46 s on a CPU
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

settings.register_profile(
    "house", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real Korean data: ``KOBITNET_DATA``, or ``shared/data`` beside the repository."""
    root = Path(os.environ.get("KOBITNET_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (root / "corpus").is_dir():
        pytest.skip("real data is not here (set KOBITNET_DATA)")
    return root
