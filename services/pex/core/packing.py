"""What a planning model is shown of the repository: places the words hit, then files they touch; pure."""

from services.pex.core.prediction import Prediction

MAX_CONTEXT_CHARS = 8000
"""The first request stays small: the planning model sees where things are, agents read them."""
MAX_SNIPPET_CHARS = 300


def pack_context(prediction: Prediction) -> str:
    """Return places with their first lines, best first, then files that depend on them; each with its citation."""
    lines = ["Places in the repository that the words hit (path:line kind symbol):"]
    for hit in prediction.places:
        snippet = " ".join(hit.snippet.split())[:MAX_SNIPPET_CHARS]
        lines.append(f"- {hit.path}:{hit.line} {hit.kind} {hit.symbol}: {snippet}")
    if not prediction.places:
        lines.append("- none")
    if prediction.files:
        lines += ["Files that such a change is expected to touch:", *(f"- {path}" for path in prediction.files)]
    packed, size = [], 0
    for line in lines:
        size += len(line) + 1
        if size > MAX_CONTEXT_CHARS:
            packed.append("- and more, left out")
            break
        packed.append(line)
    return "\n".join(packed)
