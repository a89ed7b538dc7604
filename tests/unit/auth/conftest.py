"""Keys for tests of auth: generated once, copied for each test."""

import shutil

import pytest

from services.auth.keys import open_keys
from tests.fakes.time import HandClock


@pytest.fixture(scope="session")
def generated_keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys") / "auth"
    open_keys(directory, HandClock())
    return directory


@pytest.fixture
def key_directory(generated_keys, tmp_path):
    """Return a fresh key directory whose key signs from the start of HandClock."""
    return shutil.copytree(generated_keys, tmp_path / "auth")
