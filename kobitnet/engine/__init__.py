"""The CPU engine: exact b1.58 inference with numpy and native code, without torch."""

from kobitnet.engine.engine import Engine

__all__ = ["Engine"]
