"""`direng model add|list|test|default|remove`: which models the platform may call, with whose key, at what price."""

import argparse
import getpass
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from cli import exits, render
from cli.launch import ensure_server, keep_variable
from cli.wire import Json, Wire, as_mapping, as_sequence
from services.home import Home
from services.kernel.errors import InvalidRequestError, NotFoundError

MICROUSD = 1_000_000
MIN_CONTEXT_TOKENS = 1024
ALIAS = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
KEY_REF = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|vault:[A-Za-z_][A-Za-z0-9_.-]{0,127}", re.ASCII)
LOOKS_LIKE_KEY = re.compile(r"sk[-_]|AIza|gsk_|xai-|hf_")
AMOUNT = re.compile(r"\$?[0-9]{1,7}(\.[0-9]{1,6})?", re.ASCII)
USUAL_KEYS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
USUAL_URLS = (
    "http://127.0.0.1:11434/v1 (Ollama), http://127.0.0.1:8080/v1 (llama-server), http://127.0.0.1:8000/v1 (vLLM)"
)
HEADERS = ("NAME", "PROVIDER", "MODEL", "URL", "KEY", "PRICE in/out", "CONTEXT", "TOOLS", "DEFAULT", "STATE")


class UsageError(InvalidRequestError):
    """The flags do not fit together; ends the command with code 2."""


def do_model(arguments: argparse.Namespace) -> int:
    """`direng model ...`."""
    handlers: dict[str, Callable[[argparse.Namespace], int]] = {
        "add": do_add,
        "list": do_list,
        "test": do_test,
        "default": do_default,
        "remove": do_remove,
    }
    try:
        return handlers[arguments.action](arguments)
    except UsageError as error:
        render.fail(error)
        return exits.USAGE
    except KeyboardInterrupt:
        render.note("interrupted; `direng model list` shows what is configured")
        return exits.FAILED


@dataclass(frozen=True)
class _Key:
    """Where the model's key is; `secret` only when it is to be stored under that name now."""

    ref: str | None
    secret: str | None = None

    @property
    def variable(self) -> str | None:
        """Return the name of the environment variable, when the key is in one."""
        return self.ref.removeprefix("env:") if self.ref is not None and self.ref.startswith("env:") else None

    @property
    def secret_name(self) -> str | None:
        """Return the name in the vault, when the key is there."""
        return self.ref.removeprefix("vault:") if self.ref is not None and self.ref.startswith("vault:") else None


def do_add(arguments: argparse.Namespace) -> int:
    """`direng model add NAME`: configure a model, make it the default if asked to, and try it."""
    body = _describe_model(arguments)  # everything that can be wrong is found before anything is changed
    key = _choose_key(arguments)
    home = _open_home(key)
    body["key_ref"] = key.ref
    wire = Wire(home)
    wire.get("broker", "/v1/models")  # a server that cannot be asked must not leave a key behind
    _store_key(home, key)
    view = as_mapping(wire.put("broker", _path(arguments.name), body))
    if arguments.default:
        view = as_mapping(wire.post("broker", f"{_path(arguments.name)}/default", {}))
    probe = None if arguments.no_test or view["problem"] else _probe(wire, arguments.name)
    if arguments.json:
        render.print_json({"model": view, "test": probe})
    else:
        _print_added(view)
        _explain_problem(view)
        if probe is not None:
            _print_probe(probe)
    if probe is not None:
        return exits.OK if probe["is_good"] else exits.FAILED
    return exits.OK if arguments.no_test else exits.FAILED


def do_list(arguments: argparse.Namespace) -> int:
    """`direng model list`."""
    views = _list_models(Wire(ensure_server(os.environ)))
    if arguments.json:
        render.print_json(views)
    elif views:
        render.say(render.format_table(HEADERS, [_row(view) for view in views]))
    else:
        render.say("no model is configured; add one with `direng model add` (see `direng model add --help`)")
    return exits.OK


def do_test(arguments: argparse.Namespace) -> int:
    """`direng model test [NAME]`: one small real call; exit 1 when it does not work."""
    wire = Wire(ensure_server(os.environ))
    probe = _probe(wire, arguments.name or _default_alias(wire))
    if arguments.json:
        render.print_json(probe)
    else:
        _print_probe(probe)
    return exits.OK if probe["is_good"] else exits.FAILED


def do_default(arguments: argparse.Namespace) -> int:
    """`direng model default NAME`."""
    wire = Wire(ensure_server(os.environ))
    view = as_mapping(wire.post("broker", f"{_path(arguments.name)}/default", {}))
    if arguments.json:
        render.print_json(view)
    else:
        render.say(f"{view['alias']} ({view['provider']} {view['model']}) is the default now")
        _explain_problem(view)
    return exits.OK


def do_remove(arguments: argparse.Namespace) -> int:
    """`direng model remove NAME`; a key in the vault stays there unless --forget-key says otherwise."""
    home = ensure_server(os.environ)
    wire = Wire(home)
    views = _list_models(wire)
    wire.delete("broker", _path(arguments.name))
    ref = next((view["key_ref"] for view in views if view["alias"] == arguments.name), None)
    key = _Key(None if ref is None else str(ref))
    is_shared = any(view["key_ref"] == ref and view["alias"] != arguments.name for view in views)
    is_forgotten = arguments.forget_key and key.secret_name is not None and not is_shared
    if is_forgotten:
        _forget_key(home, str(key.secret_name))
    if arguments.json:
        render.print_json({"removed": arguments.name, "key_forgotten": is_forgotten})
        return exits.OK
    render.say(f"removed {arguments.name}")
    if is_forgotten:
        render.say(f"forgot its key {key.ref}")
    elif key.secret_name is not None:
        why = "another model uses it" if is_shared else "--forget-key removes it too"
        render.note(f"its key stays in the vault as {key.ref}: {why}")
    return exits.OK


def _describe_model(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the body of the request but for the key; raise UsageError when the flags do not fit together."""
    if not ALIAS.fullmatch(arguments.name):
        raise UsageError(
            f"{arguments.name!r} is no name for a model: up to 64 lower-case letters, digits, . _ -, for example claude"
        )
    if arguments.provider == "local_llama" and arguments.url is None:
        raise UsageError(f"local_llama needs --url, for example {USUAL_URLS}")
    if arguments.context is not None and arguments.context < MIN_CONTEXT_TOKENS:
        raise UsageError(f"--context {arguments.context}: at least {MIN_CONTEXT_TOKENS} tokens")
    return {
        "alias": arguments.name,
        "provider": arguments.provider,
        "model": arguments.model,
        "base_url": arguments.url,
        "price": _read_price(arguments),
        "context_tokens": arguments.context,
        "tool_style": arguments.tools,
    }


def _read_price(arguments: argparse.Namespace) -> dict[str, object] | None:
    if arguments.free:
        if arguments.price_in is not None or arguments.price_out is not None:
            raise UsageError("--free and --price-in/--price-out contradict each other; give one")
        return {"input_microusd": 0, "output_microusd": 0, "source": "operator"}
    if arguments.price_in is None and arguments.price_out is None:
        return None
    if arguments.price_in is None or arguments.price_out is None:
        raise UsageError("a price needs both --price-in and --price-out, USD per million tokens")
    return {
        "input_microusd": parse_usd(arguments.price_in, "--price-in"),
        "output_microusd": parse_usd(arguments.price_out, "--price-out"),
        "source": "operator",
    }


def parse_usd(text: str, flag: str) -> int:
    """Return USD per million tokens as micro-USD per million tokens, exactly; raise UsageError."""
    if not AMOUNT.fullmatch(text):
        raise UsageError(f"{flag} {text}: write USD per million tokens, at most six decimals, for example 3 or 0.25")
    return int(Decimal(text.removeprefix("$")) * MICROUSD)


def _choose_key(arguments: argparse.Namespace) -> _Key:
    """Return where the key is; raise UsageError, which never repeats what was given: it may be the key itself."""
    ref = arguments.key
    if ref is None:
        if arguments.key_stdin:
            raise UsageError("--key-stdin needs --key vault:NAME, the name to keep the key under")
        usual = USUAL_KEYS.get(arguments.provider, ())
        return _Key(
            next((f"env:{name}" for name in usual if os.environ.get(name)), f"env:{usual[0]}" if usual else None)
        )
    if not is_reference(ref, os.environ):
        raise UsageError(
            "--key takes where the key is, env:VARIABLE or vault:NAME, never the key itself"
            " (if that was your key, it is in your shell's history now: clear it there)"
        )
    if arguments.key_stdin and not ref.startswith("vault:"):
        raise UsageError("--key-stdin stores the key in the vault: give --key vault:NAME")
    return _Key(ref, _read_secret(ref) if arguments.key_stdin else None)


def is_reference(ref: str, environment: Mapping[str, str]) -> bool:
    """Return whether `ref` says where a key is. What could be a key itself is none: references are shown and kept."""
    if not KEY_REF.fullmatch(ref) or LOOKS_LIKE_KEY.match(ref.partition(":")[2]):
        return False
    kind, _, name = ref.partition(":")
    return kind == "vault" or name in environment or name == name.upper()


def _read_secret(ref: str) -> str:
    """Return a key from stdin, or from a hidden prompt when stdin is a terminal."""
    secret = (getpass.getpass(f"key to keep as {ref} (hidden): ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not secret:
        raise UsageError("no key came in on stdin; nothing was changed")
    return secret


def _open_home(key: _Key) -> Home:
    """Return the home with a running server that, if it is started now, gets the variable that holds the key."""
    if key.variable is not None:
        keep_variable(os.environ, key.variable)
    return ensure_server(os.environ)


def _store_key(home: Home, key: _Key) -> None:
    """Put the key into the vault; without one, make sure that the vault has it, or ask for it."""
    if key.secret_name is None:
        return
    from services.security.vault import Vault  # noqa: PLC0415 - cryptography is for this one case

    vault = Vault.open(home.path / "vault")
    secret = key.secret
    if secret is None and key.secret_name in vault.list_names():
        render.note(f"using the key that the vault keeps as {key.ref} (--key-stdin replaces it)")
        return
    if secret is None and not sys.stdin.isatty():
        raise UsageError(f"the vault has no key {key.ref}; give it on stdin with --key-stdin")
    vault.put(key.secret_name, secret or _read_secret(str(key.ref)))


def _forget_key(home: Home, name: str) -> None:
    from services.security.vault import Vault  # noqa: PLC0415 - cryptography is for this one case

    vault = Vault.open(home.path / "vault")
    if name in vault.list_names():
        vault.remove(name)


def _path(alias: str) -> str:
    return f"/v1/models/{quote(alias, safe='')}"


def _list_models(wire: Wire) -> list[dict[str, object]]:
    return as_sequence(wire.get("broker", "/v1/models"))


def _default_alias(wire: Wire) -> str:
    views = _list_models(wire)
    for view in views:
        if view["is_default"]:
            return str(view["alias"])
    named = ", ".join(str(view["alias"]) for view in views)
    hint = f"name one of {named}" if views else "add one with `direng model add`"
    raise NotFoundError(f"no model is the default; {hint}")


def _probe(wire: Wire, alias: str) -> dict[str, object]:
    return as_mapping(wire.post("broker", f"{_path(alias)}/test", {}))


def format_price(price: object) -> str:
    """Return a price for people, USD per million tokens in/out: `$3.00/$15.00`, `free`, `unknown`.

    What long inputs cost more follows: `$3.00/$15.00, above 200000 in: $6.00/$22.50`.
    """
    if price is None:
        return "unknown"
    known = as_mapping(price)
    tiers = [f"above {tier['above_tokens_in']} in: {_format_rates(tier)}" for tier in as_sequence(known["tiers"])]
    return ", ".join([_format_rates(known), *tiers])


def _format_rates(rates: Json) -> str:
    amounts = [int(str(rates[name])) for name in ("input_microusd", "output_microusd")]
    return "/".join(format_usd(amount) for amount in amounts) if any(amounts) else "free"


def format_usd(microusd: int) -> str:
    """Return an amount for people, exactly: $3.00, $0.000123."""
    whole, _, cents = f"{Decimal(microusd) / MICROUSD:f}".partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}"


def _row(view: Json) -> tuple[str, ...]:
    return (
        str(view["alias"]),
        str(view["provider"]),
        str(view["model"]),
        str(view["base_url"] or "the provider's"),
        str(view["key_ref"] or "none"),
        format_price(view["price"]),
        str(view["context_tokens"]),
        str(view["tool_style"]),
        "yes" if view["is_default"] else "",
        state_of(view),
    )


def state_of(view: Json) -> str:
    """Return whether a model can be called, in words."""
    if view["problem"]:
        return str(view["problem"])
    return "resting after failures" if view["is_breaker_open"] else "ready"


def _print_added(view: Json) -> None:
    price = format_price(view["price"])
    source = str(as_mapping(view["price"])["source"]) if "$" in price else ""
    source = f" per million tokens in/out ({'as you set it' if source == 'operator' else source})" if source else ""
    where = f" at {view['base_url']}" if view["base_url"] else ""
    render.say(f"added {view['alias']}: {view['provider']} {view['model']}{where}")
    render.say(f"  key {view['key_ref'] or 'none'}; price {price}{source}; context {view['context_tokens']} tokens")
    if view["is_default"]:
        render.say("  it is the default: lanes use it unless the broker's policy says otherwise")


def _explain_problem(view: Json) -> None:
    """Say what keeps a model from being called, and what to do about it here."""
    problem = str(view["problem"])
    if not problem:
        return
    variable = _Key(None if view["key_ref"] is None else str(view["key_ref"])).variable
    if variable is not None and f"{view['key_ref']} is missing" in problem:
        problem = f"the key {view['key_ref']} is missing: {cure_variable(variable, os.environ)}"
    render.note(f"not ready: {problem}", "yellow")


def cure_variable(variable: str, environment: Mapping[str, str]) -> str:
    """Return how the running server gets a variable: it has the environment that it was started with."""
    restart = "`direng down`, then `direng up` (runs continue)"
    if environment.get(variable):
        return f"it is set in this shell, but the running server was started without it; {restart}"
    return f"export {variable}=..., then {restart}; or keep the key in the vault: --key vault:NAME --key-stdin"


def _print_probe(probe: Json) -> None:
    is_good = bool(probe["is_good"])
    cost = int(str(probe["cost_microusd"]))
    render.say(f"{'ok' if is_good else 'FAILED'}: {probe['alias']}: {probe['detail']}", "green" if is_good else "red")
    if is_good:
        took = render.format_duration(int(str(probe["time_ms"])) / 1000)
        render.say(f"  it took {took} and cost {format_usd(cost)}")
        return
    if cost:
        render.say(f"  it cost {format_usd(cost)}")
    if probe["cure"]:
        render.say(f"  cure: {probe['cure']}", "yellow")
