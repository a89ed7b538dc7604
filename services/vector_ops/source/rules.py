"""Which paths are left out of an index by their names alone, each under the name of a rule.

The rules look at the path, never at the content (generated markers, binary content and the like are found later, when a
file is read). What a repository itself says, in `.direngignore` and the manifests of vendored folders, is in
`source.choices`.
"""

from functools import lru_cache

PRIVATE = "secret"
VENDORED = "vendored"
CACHE = "cache"
GENERATED = "generated"
BUILT = "build output"
LOCK = "lock file"
TRANSLATION = "translation"
SNAPSHOT = "snapshot"
DATA = "data"
NOT_UTF8 = "name not utf-8"
SYMLINK = "symlink"
SUBMODULE = "submodule"
IGNORED = "ignored"
TOO_LONG = "path too long"

_FOLDERS = {
    "secrets": PRIVATE,
    "node_modules": VENDORED,
    "bower_components": VENDORED,
    "jspm_packages": VENDORED,
    "site-packages": VENDORED,
    "third_party": VENDORED,
    "third-party": VENDORED,
    "__pycache__": CACHE,
    ".git": CACHE,
    ".hg": CACHE,
    ".svn": CACHE,
    ".tox": CACHE,
    ".nox": CACHE,
    ".mypy_cache": CACHE,
    ".pytest_cache": CACHE,
    ".ruff_cache": CACHE,
    ".gradle": CACHE,
    "__snapshots__": SNAPSHOT,
}
_LOCKS = """
package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb deno.lock cargo.lock poetry.lock
uv.lock pdm.lock pipfile.lock gemfile.lock composer.lock go.sum go.work.sum flake.lock packages.lock.json
gradle.lockfile mix.lock podfile.lock pubspec.lock
"""
_NAMES = dict.fromkeys(_LOCKS.split(), LOCK) | dict.fromkeys(("id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"), PRIVATE)
_ENDINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (PRIVATE, (".pem", ".key")),
    (
        GENERATED,
        (
            ".min.js",
            ".min.mjs",
            ".min.css",
            ".bundle.js",
            ".js.map",
            ".mjs.map",
            ".cjs.map",
            ".css.map",
            ".d.ts.map",
            "_pb2.py",
            "_pb2.pyi",
            "_pb2_grpc.py",
            ".pb.go",
            ".pb.gw.go",
            ".pb.cc",
            ".pb.h",
            "_pb.js",
            "_pb.d.ts",
            ".g.dart",
            ".designer.cs",
        ),
    ),
    (TRANSLATION, (".po", ".pot", ".mo", ".xlf", ".xliff")),
    (SNAPSHOT, (".snap", ".snap.new")),
)
_DATA = """
png jpg jpeg jpe gif bmp ico icns webp avif heic tif tiff psd ai eps xcf svgz
mp3 wav ogg flac aac m4a mp4 m4v mov avi mkv webm woff woff2 ttf otf eot
zip gz tgz bz2 tbz xz txz lz4 zst 7z rar tar jar war ear whl egg gem nupkg deb rpm dmg iso apk crate
pyc pyo pyd so dylib dll exe o a lib obj class wasm bin dat node rlib rmeta pdb
pdf doc docx xls xlsx ppt pptx odt ods odp parquet feather arrow orc avro npy npz mat h5 hdf5 pkl pickle joblib rds
sqlite sqlite3 db mdb shp shx dbf fits nc onnx pth safetensors tflite gguf p12 pfx jks keystore der crt cer csr
"""
_DATA_SUFFIXES = frozenset(_DATA.split())
_BUILT_SUFFIXES = frozenset(("js", "mjs", "cjs", "css", "map", "html", "d.ts", "d.mts", "d.cts"))
_DATA_LIMIT_BYTES = 64_000
_LIMITED_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".ipynb", ".svg", ".geojson", ".sql", ".xml", ".json")


def find_path_rule(path: str) -> str:
    """Return the rule by which the file at `path` is left out by its name or a folder's; empty when it is indexed."""
    folder, _, name = path.rpartition("/")
    return find_folder_rule(folder) or find_name_rule(folder, name)


@lru_cache(maxsize=20_000)
def find_folder_rule(folder: str) -> str:
    """Return the rule that leaves everything below `folder` out (the root is the empty string); empty for none."""
    for part in folder.lower().split("/"):
        rule = _FOLDERS.get(part)
        if rule is not None:
            return rule
        if part.endswith((".egg-info", ".dist-info")):
            return BUILT
    return ""


def find_name_rule(folder: str, name: str) -> str:
    """Return the rule for a file by its name, in a folder that no rule leaves out; empty for none."""
    low = name.lower()
    if low.startswith(".env"):
        return PRIVATE
    rule = _NAMES.get(low)
    if rule is not None:
        return rule
    for ending_rule, endings in _ENDINGS:
        if low.endswith(endings):
            return ending_rule
    suffix = low.rpartition(".")[2] if "." in low else ""
    if suffix in _DATA_SUFFIXES:
        return DATA
    return BUILT if _is_built(folder, low, suffix) else ""


def _is_built(folder: str, low: str, suffix: str) -> bool:
    # `dist` holds sources in some repositories (Go's own cmd/dist), so only what a bundler writes is left out there.
    if "dist" not in folder.split("/"):
        return False
    return suffix in _BUILT_SUFFIXES or low.endswith((".d.ts", ".d.mts", ".d.cts"))


def is_size_limited(path: str) -> bool:
    """Return whether `find_size_rule` may say anything about the path."""
    return path.lower().endswith(_LIMITED_ENDINGS)


def find_size_rule(path: str, size_bytes: int) -> str:
    """Return `data` for a table, a notebook or another data format above 64,000 bytes; empty otherwise."""
    return DATA if size_bytes > _DATA_LIMIT_BYTES and is_size_limited(path) else ""


def is_secret(path: str) -> bool:
    """Return whether nobody may read the file: `.env*`, anything below `secrets/`, `*.pem`, `*.key`, SSH keys."""
    folder, _, name = path.rpartition("/")
    return "secrets" in folder.lower().split("/") or find_name_rule("", name) == PRIVATE
