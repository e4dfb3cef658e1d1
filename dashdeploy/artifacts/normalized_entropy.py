"""How decided a mixture is."""

from __future__ import annotations

import math
from collections.abc import Sequence


def normalized_entropy(shares: Sequence[float]) -> float:
    """Entropy of shares that add up to 1, as a part of that of uniform ones: 1 is undecided, 0 is certain."""
    if len(shares) < 2:
        return 0.0
    return sum(-share * math.log(share) for share in shares if share > 0) / math.log(len(shares))
