"""Pasts out of words: no repository needed."""

import numpy as np

from services.vector_ops.history.past import build_past
from services.vector_ops.history.store import StoredCommit
from services.vector_ops.lexical.terms import hash_text


def make_past(*commits):
    """Return the past of (message, paths) pairs, newest first."""
    paths = sorted({path for _message, touched in commits for path in touched})
    number = {path: index for index, path in enumerate(paths, start=1)}
    chain = [
        StoredCommit(
            index,
            "",
            0,
            np.unique(hash_text(message)),
            np.array([number[path] for path in touched], np.uint32),
            np.zeros(0, np.uint32),
        )
        for index, (message, touched) in enumerate(commits, start=1)
    ]
    return build_past("head", chain, {index: path for path, index in number.items()})
