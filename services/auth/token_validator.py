"""Say what a token claims, or why it is bad: `python -m services.auth.token_validator --audience plms TOKEN`.

Reads the keys of a home, because only its manifest knows which of them are retired.
Exit codes: 0 and the claims as JSON, 2 usage, 4 and the reason.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from services.auth.app import REVOCATIONS_FILE
from services.auth.core.verification import MAX_TOKEN_CHARS, TokenPolicy, verify_token
from services.auth.keys import read_keys
from services.auth.models import Claims
from services.auth.revocation import RevocationFile
from services.auth.settings import DEFAULT_ISSUER
from services.auth.token_issuer import EXIT_AUTH, find_keys
from services.kernel.clock import SystemClock
from services.kernel.errors import PlatformError
from services.kernel.vocabulary import ServiceName


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m services.auth.token_validator", description="Check a token.")
    parser.add_argument("--audience", required=True, choices=[name.value for name in ServiceName])
    parser.add_argument("--home", type=Path, help="default: DIRENG_HOME, else ~/.direng")
    parser.add_argument("--issuer", default=DEFAULT_ISSUER)
    parser.add_argument("token", metavar="TOKEN", help="the token, or - to read it from standard input")
    return parser


def validate(arguments: argparse.Namespace, environment: Mapping[str, str], token: str) -> Claims:
    """Return the claims of a good token. Raises UnauthenticatedError, KeysUnreadableError."""
    clock = SystemClock()
    directory = find_keys(arguments.home, environment)
    policy = TokenPolicy(arguments.issuer, ServiceName(arguments.audience))
    keys = read_keys(directory, clock)
    revocations = RevocationFile(directory / REVOCATIONS_FILE)
    return asyncio.run(verify_token(token, policy, keys, revocations, clock.now().timestamp()))


def main(arguments: Sequence[str], environment: Mapping[str, str], standard_input: TextIO) -> int:
    """Run the command; return its exit code."""
    parsed = build_parser().parse_args(arguments)
    try:
        is_piped = parsed.token == "-"  # noqa: S105 - the usual name of standard input
        token = standard_input.read(MAX_TOKEN_CHARS + 2).strip() if is_piped else parsed.token
        claims = validate(parsed, environment, token)
    except UnicodeDecodeError:
        sys.stderr.write("token_validator: standard input is not text, so it holds no token\n")
        return EXIT_AUTH
    except PlatformError as error:
        sys.stderr.write(f"token_validator: {error.detail}\n")
        return EXIT_AUTH
    sys.stdout.write(claims.model_dump_json(exclude_none=True, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, sys.stdin))
