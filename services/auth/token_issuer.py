"""Print a token, signed with the keys of a home.

`python -m services.auth.token_issuer --subject user:me --audience plms [--scope plms.read_metrics] [--ttl 900]`

Exit codes: 0 printed, 2 usage, 4 refused or keys unreadable.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.auth.app import REVOCATIONS_FILE
from services.auth.core.issuer import DEFAULT_TTL_S, AuthService
from services.auth.keys import read_keys
from services.auth.models import MAX_SERVICE_TTL_S
from services.auth.revocation import RevocationFile
from services.auth.settings import DEFAULT_ISSUER
from services.home import find_home
from services.kernel.clock import SystemClock
from services.kernel.errors import PlatformError
from services.kernel.vocabulary import Scope, ServiceName

EXIT_AUTH = 4
SUBJECT = re.compile(r"(service|user):[a-z0-9_.-]{1,64}")


def find_keys(home: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the key directory of `home`, or of the home that the environment names."""
    return (home or find_home(environment).path) / "auth"


def _read_subject(text: str) -> str:
    if SUBJECT.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form user:name or service:name")
    return text


def _read_ttl(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SERVICE_TTL_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {MAX_SERVICE_TTL_S}")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m services.auth.token_issuer", description="Print a token.")
    parser.add_argument("--subject", required=True, type=_read_subject, help="user:name or service:name")
    parser.add_argument("--audience", required=True, choices=[name.value for name in ServiceName])
    parser.add_argument("--scope", action="append", default=[], choices=[scope.value for scope in Scope])
    parser.add_argument("--ttl", type=_read_ttl, default=DEFAULT_TTL_S, help="seconds (default 900)")
    parser.add_argument("--run", help="bind the token to this run (services only)")
    parser.add_argument("--project", help="bind the token to this project")
    parser.add_argument("--home", type=Path, help="default: DIRENG_HOME, else ~/.direng")
    parser.add_argument("--issuer", default=DEFAULT_ISSUER)
    return parser


def issue(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """Return the token that `arguments` ask for. Raises KeysUnreadableError, GrantRefusedError."""
    clock = SystemClock()
    directory = find_keys(arguments.home, environment)
    keys = read_keys(directory, clock)
    service = AuthService(keys, RevocationFile(directory / REVOCATIONS_FILE), clock, arguments.issuer)
    token = service.mint_token(
        arguments.subject,
        ServiceName(arguments.audience),
        tuple(Scope(name) for name in arguments.scope),
        ttl_s=arguments.ttl,
        run_id=arguments.run,
        project_id=arguments.project,
    )
    return token.access_token


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command; return its exit code."""
    try:
        token = issue(build_parser().parse_args(arguments), environment)
    except PlatformError as error:
        sys.stderr.write(f"token_issuer: {error.detail}\n")
        return EXIT_AUTH
    sys.stdout.write(token + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
