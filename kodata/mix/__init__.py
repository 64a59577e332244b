"""Mixtures: one training corpus from several, in stated shares, with score cuts and repeats, in a seeded order.

A document's place in the order, and whether it is among those taken when a group is larger than its share, follow from a
hash of (seed, id, copy) alone. So the result does not depend on how inputs are cut into shards, and a run that was killed goes on.
"""

from kodata.mix.config import MixConfig
from kodata.mix.verb import mix

__all__ = ["MixConfig", "mix"]
