"""What the server was asked, kept so that a test can prove what was and was not called."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from tests.fakes.model_server.conversation import Answer

SECRET_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key", "cookie"})


@dataclass
class RecordedRequest:
    """One request and what became of it.

    `state` is `open` while it is answered, `answered` when the whole answer was sent, `failed` when the script made it
    fail, `refused` when it was wrong (no such model, bad key, broken protocol, no rule), `abandoned` when the client
    went away. `rule` counts from 1.
    """

    number: int
    at_s: float
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, object] = field(default_factory=dict)
    size_bytes: int = 0
    provider: str = ""
    model: str = ""
    turn: int = 0
    stream: bool = False
    idempotency_key: str = ""
    body_sha256: str = ""
    rule: int | None = None
    fault: str = ""
    status: int = 0
    state: str = "open"
    ended_s: float = 0.0
    usage: dict[str, int] = field(default_factory=dict)

    def keep_body(self, body: Mapping[str, object], raw: bytes) -> None:
        """Remember the body and its digest."""
        self.body = dict(body)
        self.size_bytes = len(raw)
        self.body_sha256 = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def keep_usage(self, answer: Answer) -> None:
        """Remember what the answer was said to cost; nothing when the server told none."""
        self.usage = {} if answer.usage is None else asdict(answer.usage)


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers, lower case, without those that carry a key."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in SECRET_HEADERS}


@dataclass(frozen=True)
class Stats:
    """Counts. `repeated_*` name what was answered more than once: by idempotency key, and by identical body."""

    requests: int
    answered: int
    failed: int
    refused: int
    abandoned: int
    open: int
    unmatched: int
    without_key: int
    repeated_keys: Mapping[str, int]
    repeated_bodies: Mapping[str, int]
    by_rule: Mapping[str, int]
    by_fault: Mapping[str, int]

    @classmethod
    def of(cls, records: Sequence[RecordedRequest]) -> "Stats":
        """Count the model calls among `records`; lists of models are not counted."""
        calls = [record for record in records if record.method == "POST"]
        states = Counter(record.state for record in calls)
        answered = [record for record in calls if record.state == "answered"]
        keys = Counter(record.idempotency_key for record in answered if record.idempotency_key)
        bodies = Counter(record.body_sha256 for record in answered)
        return cls(
            requests=len(calls),
            answered=states["answered"],
            failed=states["failed"],
            refused=states["refused"],
            abandoned=states["abandoned"],
            open=states["open"],
            unmatched=sum(1 for record in calls if record.fault == "unmatched"),
            without_key=sum(1 for record in calls if not record.idempotency_key),
            repeated_keys={key: count for key, count in keys.items() if count > 1},
            repeated_bodies={body: count for body, count in bodies.items() if count > 1},
            by_rule={str(rule): count for rule, count in sorted(Counter(r.rule for r in calls if r.rule).items())},
            by_fault=dict(Counter(record.fault for record in calls if record.fault)),
        )

    def as_json(self) -> dict[str, object]:
        """Return the counts as JSON."""
        return asdict(self)
