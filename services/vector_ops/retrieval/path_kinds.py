"""What a path says about its file: code, test, example, documentation, or data beside the code."""

import re
from enum import StrEnum
from functools import lru_cache

from services.vector_ops.languages.catalogue import language_name


class PathKind(StrEnum):
    """The kinds that search weighs differently."""

    CODE = "code"
    TEST = "test"
    EXAMPLE = "example"
    DOCS = "docs"
    DATA = "data"


_TEST = re.compile(
    r"(?:^|/)(?:tests|__tests__|specs?|e2e|fixtures?|testdata|test_\w+|\w+[-_]test(?:s|ing)?|__mocks__|testsuite)/"
    r"|(?:^|^(?:[^/]+/)?src/|^(?:packages|crates|modules|libs?)/[^/]+/(?:src/)?)(?:test|testing|features)/"
    r"|(?:^|/)(?:test_[^/]*|conftest|[^/]*[._-](?:test|tests|spec|unittest)|test|tests)\.[^/.]+$"
    r"|(?:^|/)(?:[A-Z][^/]*(?:Tests?|Spec|TestCase)|Test[A-Z][^/]*)\.(?:java|kt|cs|php|scala|swift)$"
)
_EXAMPLE = re.compile(
    r"(?:^|/)(?:examples?|samples?|demos?|tutorials?|benchmarks?|bench|asv_bench|playground|vendor|node_modules|"
    r"third_party|deps|galleries)/"
)
_DOCS = re.compile(
    r"(?:^|/)(?:docs?|documentation|website|changelogs?|news)/|\.(?:md|mdx|rst|txt|adoc)$", re.IGNORECASE
)
_MARKUP = re.compile(
    r"\.(?:ya?ml|json|toml|ini|cfg|xml|lock|csv|svg|po|snap|plist|properties|gradle|gemspec|csproj|sln)$", re.IGNORECASE
)


@lru_cache(maxsize=200_000)
def classify_path(path: str) -> PathKind:
    """Return the kind of a file by its path alone."""
    if _TEST.search(path):
        return PathKind.TEST
    if _DOCS.search(path):
        return PathKind.DOCS
    if _EXAMPLE.search(path):
        return PathKind.EXAMPLE
    if _MARKUP.search(path) or (not language_name(path) and "." not in path.rpartition("/")[2]):
        return PathKind.DATA
    return PathKind.CODE
