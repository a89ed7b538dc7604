"""What went wrong, in the broker's words: one WireError for whatever an SDK raised, or for a reply that is none."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import httpx2
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelServerError,
    ModelUnavailableError,
)

from services.broker.core.ports import Target, WireError
from services.broker.models import AttemptOutcome, Provider
from services.broker.providers.exchange import Exchange, scrub

Outcome = AttemptOutcome
OVERFLOW = re.compile(
    r"context_length_exceeded|prompt is too long|maximum context|context (window|size|length)|exceed_context_size"
    r"|input token count|reduce the length",
    re.IGNORECASE,
)
NO_CREDIT = re.compile(r"insufficient_quota|credit balance is too low|billing_(error|hard_limit)", re.IGNORECASE)
WRONG_KEY = re.compile(r"API_KEY_INVALID|invalid_api_key|API key not valid", re.IGNORECASE)
"""Google answers 400 to a wrong key."""
PASSING_STATUSES = frozenset({408, 409, 425})
"""Client errors in name only: a time-out, a lock and a replay window, which pass by themselves."""
MAX_WAIT_S = 24 * 3600.0


@dataclass(frozen=True)
class Site:
    """Whom an attempt talks to, for telling; `secret` is only ever taken out of texts."""

    target: Target
    base_url: str
    secret: str
    now: datetime

    def __repr__(self) -> str:
        return f"Site({self.base_url!r})"

    @property
    def host(self) -> str:
        """Return host and port."""
        return urlsplit(self.base_url).netloc

    def fail(
        self,
        outcome: AttemptOutcome,
        detail: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        is_billable: bool = False,
    ) -> WireError:
        """Return the error, its detail one short line without the key."""
        line = scrub(detail, self.secret)
        return WireError(outcome, line, status=status, retry_after_s=retry_after_s, is_billable=is_billable)


def explain(error: Exception, exchange: Exchange, site: Site) -> WireError:
    """Return the broker's error for `error`, judged by what the wire saw first and by the SDK's class second."""
    if exchange.refusal:
        return _explain_refusal(exchange, site)
    if exchange.fault is not None:
        return _explain_fault(exchange.fault, exchange, site)
    if exchange.status is not None and exchange.status >= 400:  # noqa: PLR2004 - HTTP's class of errors
        return _explain_status(exchange.status, exchange.error_text, error, exchange, site)
    if isinstance(error, ModelAPIError) and error.in_stream:
        return _explain_in_stream(error, site)
    if exchange.status is None:
        return site.fail(Outcome.REJECTED, f"the request to {site.target.model} cannot be built: {error}")
    return explain_malformed(_say_misread(error), exchange, site)


def _say_misread(error: Exception) -> str:
    if isinstance(error, LookupError | TypeError | AttributeError):  # the SDK took for granted what is not there
        return "it holds no answer"
    return str(error) or f"its events are out of order ({type(error).__name__})"


def explain_malformed(what: str, exchange: Exchange, site: Site) -> WireError:
    """Return the error for a reply that is none; it was paid for."""
    detail = f"{site.host} sent a reply that cannot be read: {what[:200]}"
    return site.fail(Outcome.MALFORMED, detail, status=exchange.status, is_billable=True)


def explain_cut(exchange: Exchange, site: Site) -> WireError:
    """Return the error for a reply that stopped before its end; it was paid for."""
    if exchange.status is None:
        detail = f"{site.host} closed the connection before it answered"
    else:
        detail = f"{site.host} cut its reply off after {exchange.size_bytes} bytes, before its end"
    return site.fail(Outcome.CUT, detail, status=exchange.status, is_billable=True)


def explain_timeout(timeout_s: float, exchange: Exchange, site: Site) -> WireError:
    """Return the error for an attempt that took too long; what was sent may have been worked on."""
    progress = "no answer" if exchange.status is None else f"{exchange.size_bytes} bytes"
    detail = f"{site.host} was not done within {timeout_s:g} s ({progress} so far)"
    return site.fail(Outcome.TIMEOUT, detail, status=exchange.status, is_billable=True)


def _explain_refusal(exchange: Exchange, site: Site) -> WireError:
    if exchange.status is not None and 300 <= exchange.status < 400:  # noqa: PLR2004 - HTTP's class of redirects
        there = urlsplit(urljoin(site.base_url, exchange.redirect_to))
        goal = f"{there.scheme}://{there.hostname or ''}{there.path}" if exchange.redirect_to else "nowhere"
        detail = f"{site.host} redirects to {goal[:150]}; no redirect is followed: configure that URL if you trust it"
        return site.fail(Outcome.REDIRECTED, detail, status=exchange.status)
    return explain_malformed(exchange.refusal, exchange, site)


def _explain_fault(fault: Exception, exchange: Exchange, site: Site) -> WireError:
    if isinstance(fault, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError):
        why = str(fault).strip() or ("too many calls at once" if isinstance(fault, httpx2.PoolTimeout) else "no answer")
        detail = f"{site.host} cannot be reached ({why[:120]}); check that it runs and that the base URL is right"
        return site.fail(Outcome.UNREACHABLE, detail)
    if isinstance(fault, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return site.fail(Outcome.REJECTED, f"the request to {site.host} cannot be sent: {fault}")
    return explain_cut(exchange, site)


def _explain_in_stream(error: ModelAPIError, site: Site) -> WireError:
    """Return the error for one that came in an open stream: the provider worked already, so it counts as billable."""
    outcome = Outcome.REJECTED
    if isinstance(error, ModelRateLimitError):
        outcome = Outcome.RATE_LIMITED
    elif isinstance(error, ModelServerError | ModelUnavailableError | ModelOverloadedError):
        outcome = Outcome.SERVER_ERROR
    elif isinstance(error, ModelContextWindowExceededError):
        outcome = Outcome.CONTEXT_OVERFLOW
    elif not isinstance(error, ModelHTTPError):
        outcome = Outcome.SERVER_ERROR
    said = _find_message(error.body) or error.message
    detail = f"{site.host} broke its reply off with an error: {said}"
    return site.fail(outcome, detail, status=getattr(error, "status_code", None), is_billable=True)


def _find_message(body: object) -> str:
    inner = body.get("error", body) if isinstance(body, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else None
    return message if isinstance(message, str) else ""


def _explain_status(status: int, said: str, error: Exception, exchange: Exchange, site: Site) -> WireError:
    outcome = _judge_status(status, bytes(exchange.error_body).decode("utf-8", "replace"), error)
    wait_s = _read_wait_s(exchange, site.now)
    if wait_s is None and isinstance(error, ModelAPIError):
        wait_s = error.retry_after
    detail = _describe(outcome, status, said[:200], site)
    return site.fail(outcome, detail, status=status, retry_after_s=_bound_wait(wait_s))


def _judge_status(status: int, body: str, error: Exception) -> AttemptOutcome:  # noqa: PLR0911 - a table of cases
    if status in {401, 402, 403} or isinstance(error, ModelAuthenticationError | ModelQuotaExceededError):
        return Outcome.KEY_REFUSED
    if status < 500 and (NO_CREDIT.search(body) or WRONG_KEY.search(body)):  # noqa: PLR2004
        return Outcome.KEY_REFUSED
    if status in {400, 413, 422} and (status == 413 or OVERFLOW.search(body)):  # noqa: PLR2004
        return Outcome.CONTEXT_OVERFLOW
    if isinstance(error, ModelContextWindowExceededError):
        return Outcome.CONTEXT_OVERFLOW
    if status == 404 or isinstance(error, ModelNotFoundError):  # noqa: PLR2004
        return Outcome.MODEL_UNKNOWN
    if status == 429:  # noqa: PLR2004
        return Outcome.RATE_LIMITED
    if status >= 500 or status in PASSING_STATUSES:  # noqa: PLR2004
        return Outcome.SERVER_ERROR
    return Outcome.REJECTED


def _describe(outcome: AttemptOutcome, status: int, said: str, site: Site) -> str:
    target = site.target
    if outcome is Outcome.KEY_REFUSED:
        key = f"the key {target.key_ref}" if target.key_ref else "a call without a key"
        cure = "check it and its credit, or give another" if target.key_ref else "configure one"
        return f"{site.host} refused {key} ({status}): {said or 'no reason given'}; {cure} with `direng model add`"
    if outcome is Outcome.MODEL_UNKNOWN:
        end = "has no /v1" if target.provider is Provider.ANTHROPIC else "usually ends in /v1"
        hint = "" if target.base_url is None else f"; if the model is there, check the base URL (it {end})"
        return f"{site.host} knows no model {target.model} ({status}): {said[:120]}{hint}"
    words = {
        Outcome.RATE_LIMITED: "limits the rate of calls",
        Outcome.SERVER_ERROR: "failed",
        Outcome.CONTEXT_OVERFLOW: "finds the prompt too long",
    }
    return f"{site.host} {words.get(outcome, 'rejected the request')} ({status}): {said or 'no reason given'}"


def _read_wait_s(exchange: Exchange, now: datetime) -> float | None:
    """Return how long the provider asks to wait: milliseconds, seconds, or a date against its own clock when told."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(exchange.headers.get(name, "")) * scale
        except ValueError:
            continue
    until = _read_date(exchange.headers.get("retry-after", ""))
    if until is None:
        return None
    return (until - (_read_date(exchange.headers.get("date", "")) or now)).total_seconds()


def _read_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _bound_wait(wait_s: float | None) -> float | None:
    if wait_s is None or wait_s != wait_s:  # noqa: PLR0124 - a NaN is what differs from itself
        return None
    return min(max(wait_s, 0.0), MAX_WAIT_S)
