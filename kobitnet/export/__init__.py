"""Trained models as standard files, each checked before it is called done."""

from kobitnet.export.verb import export

__all__ = ["export"]
