"""The file vault: secrets by name, encrypted at rest, in one folder of the home.

vault/key            the Fernet key (0600); made with the first secret
vault/secrets.json   name -> Fernet token, which also carries the name, so that no two entries can be swapped

What it protects against: a copy of `secrets.json` alone (a backup, a support bundle, a stray commit). Whoever can read
the whole home as its owner can read the secrets, as with any vault that opens without a person at the keyboard.
"""

import re
from pathlib import Path
from typing import Literal, Self

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ConfigDict, ValidationError

from services.auth.files import lock_directory, make_private_directory, read_private, write_private
from services.kernel.errors import ForbiddenError, InvalidRequestError, NotFoundError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}", re.ASCII)
MAX_SECRET_CHARS = 16_384
MAX_SECRETS = 1000


class VaultNameError(InvalidRequestError):
    """The name of a secret is not one."""

    code = "security.vault_name"


class SecretRefusedError(InvalidRequestError):
    """The secret itself cannot be kept: empty, too long, or of more than one line."""

    code = "security.secret_refused"


class SecretNotFoundError(NotFoundError):
    """The vault holds no secret of that name."""

    code = "security.secret_not_found"


class VaultUnreadableError(ForbiddenError):
    """The vault is damaged, or its key is lost."""

    code = "security.vault_unreadable"


class _Secrets(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    tokens: dict[str, str] = {}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    secret: str


class Vault:
    """Secrets by name. Every call reads the files anew, so that what another process put is seen at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key_file = folder / "key"
        self._secrets_file = folder / "secrets.json"

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the vault in `folder`; nothing is written before the first `put`."""
        return cls(folder)

    def __repr__(self) -> str:
        return f"Vault({str(self._folder)!r})"

    def list_names(self) -> tuple[str, ...]:
        """Return the names of all secrets, sorted."""
        return tuple(sorted(self._read().tokens))

    def get(self, name: str) -> str:
        """Return a secret; raise SecretNotFoundError (a NotFoundError), VaultUnreadableError."""
        token = self._read().tokens.get(check_name(name))
        if token is None:
            raise SecretNotFoundError(f"the vault holds no secret named {name}; put it there with `direng model add`")
        try:
            entry = _Entry.model_validate_json(Fernet(self._read_key()).decrypt(token))
        except (InvalidToken, ValidationError, ValueError):
            # The cause would carry the token, or what it held; the line below says all that helps.
            raise self._describe_broken(name) from None
        if entry.name != name:
            raise self._describe_broken(name)
        return entry.secret

    def put(self, name: str, secret: str) -> None:
        """Keep a secret, replacing the one of that name; durable when this returns."""
        check_name(name)
        _check_secret(secret)
        make_private_directory(self._folder)
        with lock_directory(self._folder):
            tokens = self._read().tokens
            if name not in tokens and len(tokens) >= MAX_SECRETS:
                raise SecretRefusedError(f"the vault is full ({MAX_SECRETS} secrets); remove some")
            entry = _Entry(name=name, secret=secret).model_dump_json().encode()
            self._write({**tokens, name: Fernet(self._make_key(is_first=not tokens)).encrypt(entry).decode("ascii")})

    def remove(self, name: str) -> None:
        """Forget a secret; raise SecretNotFoundError."""
        check_name(name)
        if name not in self._read().tokens:
            raise SecretNotFoundError(f"the vault holds no secret named {name}; nothing was removed")
        with lock_directory(self._folder):
            self._write({kept: token for kept, token in self._read().tokens.items() if kept != name})

    def _read(self) -> _Secrets:
        if not self._secrets_file.exists():
            return _Secrets()
        try:
            return _Secrets.model_validate_json(read_private(self._secrets_file))
        except ValidationError:
            raise VaultUnreadableError(
                f"{self._secrets_file} is damaged; restore it from a backup, or remove it and add the keys again"
            ) from None

    def _write(self, tokens: dict[str, str]) -> None:
        write_private(self._secrets_file, _Secrets(tokens=tokens).model_dump_json(indent=1).encode() + b"\n")

    def _read_key(self) -> bytes:
        if not self._key_file.exists():
            raise VaultUnreadableError(
                f"{self._key_file} is missing; restore it, or remove {self._secrets_file} and put the secrets again"
            )
        return read_private(self._key_file).strip()

    def _make_key(self, *, is_first: bool) -> bytes:
        """Return the key; make one only when it opens nothing yet, so that a lost key is told, never replaced."""
        if is_first and not self._key_file.exists():
            write_private(self._key_file, Fernet.generate_key() + b"\n")
        return self._read_key()

    def _describe_broken(self, name: str) -> VaultUnreadableError:
        return VaultUnreadableError(
            f"{self._key_file} does not open secret {name}; restore the key file, or put the secret again"
        )


def check_name(name: str) -> str:
    """Return `name`; raise VaultNameError when it cannot name a secret."""
    if NAME.fullmatch(name) is None:
        raise VaultNameError(
            "a secret's name is a letter or _ and then up to 127 letters, digits, _ . - (for example openai-key)"
        )
    return name


def _check_secret(secret: str) -> None:
    if not secret or len(secret) > MAX_SECRET_CHARS:
        raise SecretRefusedError(f"a secret has 1 to {MAX_SECRET_CHARS} characters")
    if not secret.isprintable() or secret != secret.strip():
        raise SecretRefusedError("a secret is one line without control characters or blanks at its ends")
