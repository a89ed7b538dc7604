"""A store over a small repository in a small but real language."""

import pytest

from services.vector_ops.source.repository import GitSource
from services.vector_ops.truth.store import TruthStore
from tests.fakes.sources import SourceTree
from tests.unit.vector_ops.truth.plain import language_name, load_language


def open_store(path):
    return TruthStore(path, load_language, language_name)


@pytest.fixture
def tree(tmp_path):
    return SourceTree(tmp_path / "repo")


@pytest.fixture
def source(tree):
    return GitSource(str(tree.root))


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "index" / "one.sqlite3")
    yield store
    store.close()


def read_rows(view):
    """Everything a view holds, comparable between two stores."""
    files = [row._replace(id=0, is_overlay=False) for row in view.list_files()]
    documents = list(view.read_documents([row.path for row in files]))
    return files, sorted(view.all_symbols()), sorted(view.all_edges()), sorted(view.file_edges()), documents
