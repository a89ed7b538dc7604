"""How much a term counts in the static vector of a text; shared with the script that trains the table."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

NAME_WEIGHT: Final = 5.0
"""A term of a name that is defined in the chunk counts this much more than in its text alone."""
OWNER_WEIGHT: Final = 2.5
PATH_WEIGHT: Final = 1.5


def damp_counts(counts: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return 1 + log2 of each count: a term that fills a chunk must not drown the others."""
    return (1 + np.log2(np.maximum(counts.astype(np.float32), 1))).astype(np.float32)
