"""Rust as a language of the index."""

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.rust.cargo import extract_cargo
from services.vector_ops.languages.rust.extract import extract_rust
from services.vector_ops.languages.rust.grammar import load_rust
from services.vector_ops.languages.rust.modules import list_tails
from services.vector_ops.languages.rust.resolve import resolve_rust
from services.vector_ops.languages.world import Edge, SourceFile, World

_TEST_FOLDERS = frozenset({"tests", "benches", "testing", "test"})


class Rust:
    """Rust: .rs files, and the Cargo.toml that names their crates."""

    name = "rust"
    family = "rust"
    version = 5
    suffixes = (".rs",)
    filenames = ("Cargo.toml",)

    def check(self) -> None:
        load_rust()

    def extract(self, suffix: str, content: bytes) -> FileFacts:
        return extract_cargo(content) if suffix == ".toml" else extract_rust(content)

    def unit_of(self, path: str, facts: FileFacts) -> str:
        del facts
        return path

    def tails_of(self, path: str, facts: FileFacts) -> tuple[str, ...]:
        return list_tails(path, facts)

    def is_test(self, path: str) -> bool:
        *folders, name = path.split("/")
        return (
            any(one in _TEST_FOLDERS for one in folders) or name in {"tests.rs", "test.rs"} or name.endswith("_test.rs")
        )

    def resolve(self, file: SourceFile, world: World) -> list[Edge]:
        return resolve_rust(file, world)


LANGUAGE = Rust()
