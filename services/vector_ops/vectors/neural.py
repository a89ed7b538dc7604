"""A sentence-transformers model from a folder on this machine: the extra `neural`. Nothing is ever downloaded.

Its packages are imported by name at the first text: they are no part of the default installation. Where OpenVINO
is installed the transformer runs in it: on one thread about twice as many texts a second as torch, and the same vectors
but for rounding (cosine above .9999). Everything else (tokens, pooling, prompts) stays the library's.
"""

import importlib.util
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.vector_ops.vectors.embedder import EmbedderUnusableError, Floats

PACKAGE_PREFIX: Final = "pip:"
_MARKER = "modules.json"
_HASHED_BYTES = 1_000_000
_BATCH = 32


def find_model_folder(setting: str) -> Path:
    """Return the folder that `setting` names: a path, or `pip:package` for a model inside an installed package.

    Raises EmbedderUnusableError.
    """
    if not setting.startswith(PACKAGE_PREFIX):
        folder = Path(setting).expanduser()
        if not (folder / _MARKER).is_file():
            raise EmbedderUnusableError(
                f"{setting} is no folder of a sentence-transformers model (it has no {_MARKER}); "
                f"set VECTOR_OPS_MODEL to one, to pip:PACKAGE, or to static"
            )
        return folder
    package = setting.removeprefix(PACKAGE_PREFIX)
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    homes = [Path(home) for home in (spec.submodule_search_locations or [])] if spec else []
    folders = [home / folder for home in homes for folder in ("", "model") if (home / folder / _MARKER).is_file()]
    if not folders:
        raise EmbedderUnusableError(
            f"no package {package} with a sentence-transformers model is installed; install it, "
            f"or set VECTOR_OPS_MODEL to a model's folder or to static"
        )
    return folders[0]


class NeuralEmbedder:
    """One local model; loaded at the first text. Safe to use from several threads, though not faster.

    `cache_dir` is where the model is kept as OpenVINO reads it: converting it takes seconds at each start otherwise.
    """

    def __init__(self, setting: str, *, threads: int = 1, cache_dir: Path | None = None) -> None:
        self._setting = setting
        self._threads = threads
        self._cache_dir = cache_dir
        self._loading = threading.Lock()
        self._loaded: Any = None

    @cached_property
    def _folder(self) -> Path:
        return find_model_folder(self._setting)

    @cached_property
    def name(self) -> str:
        return f"neural.{self._folder.name}.{_hash_folder(self._folder)}"

    @property
    def dimension(self) -> int:
        return int(self._model.get_embedding_dimension())

    @property
    def runtime(self) -> str:
        """Return what the transformer runs in: openvino or torch."""
        return "openvino" if hasattr(self._model[0].auto_model, "runs_in_openvino") else "torch"

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        return self._encode(self._model.encode_document, texts)

    def embed_query(self, text: str) -> Floats:
        return np.asarray(self._encode(self._model.encode_query, [text])[0], np.float32)

    def _encode(self, encode: Any, texts: Sequence[str]) -> Floats:
        options = {"batch_size": _BATCH, "show_progress_bar": False, "normalize_embeddings": True}
        return np.asarray(encode(list(texts), **options), np.float32)

    @property
    def _model(self) -> Any:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load(self._folder)
            return self._loaded

    def _load(self, folder: Path) -> Any:
        # Read by the libraries when they are imported: no model and no file is ever looked for on the network.
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"
        try:
            torch: Any = import_module("torch")
            library: Any = import_module("sentence_transformers")
        except ImportError as error:
            raise EmbedderUnusableError(
                f"the model {self._setting} needs the extra `neural` ({error}); pip install 'direng[neural]', "
                f"or set VECTOR_OPS_MODEL=static"
            ) from error
        torch.set_num_threads(self._threads)
        try:
            model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).split("\n", 1)[0][:200]
            raise EmbedderUnusableError(f"the model in {self._setting} cannot be loaded: {reason}") from error
        if importlib.util.find_spec("openvino") is not None:
            kept = self._cache_dir / f"{self.name}.openvino.xml" if self._cache_dir is not None else None
            _move_to_openvino(model, self._threads, kept)
        return model


def _hash_folder(folder: Path) -> str:
    """Return a hash of the model's files by name, size and beginning: another model has another."""
    digest = blake2b(digest_size=6)
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_HASHED_BYTES))
    return digest.hexdigest()


def _move_to_openvino(model: Any, threads: int, kept: Path | None) -> None:
    """Run the forward pass of the transformer in OpenVINO; a model that it cannot convert stays in torch."""
    openvino: Any = import_module("openvino")
    torch: Any = import_module("torch")
    outputs: Any = import_module("transformers.modeling_outputs")
    transformer = model[0].auto_model
    tokens = {key: value for key, value in model.preprocess(["one", "two words"]).items() if torch.is_tensor(value)}
    names = sorted(tokens)
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "THROUGHPUT"}
    try:
        converted = _convert(openvino, transformer, {name: tokens[name] for name in names}, kept)
        compiled = openvino.Core().compile_model(converted, "CPU", options)
    except (RuntimeError, AttributeError, TypeError, ValueError):
        return

    requests = threading.local()

    def forward(**values: Any) -> Any:
        # A question and the background may be embedded at the same time; one request serves one thread.
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        result = requests.own.infer([values[name].numpy() for name in names])[0]
        return outputs.BaseModelOutput(last_hidden_state=torch.from_numpy(np.array(result)))

    transformer.forward = forward
    transformer.runs_in_openvino = True


def _convert(openvino: Any, transformer: Any, example: Mapping[str, Any], kept: Path | None) -> Any:
    """Return the transformer as OpenVINO's; read from `kept` when it is there, written to it otherwise."""
    if kept is not None and kept.is_file() and kept.with_suffix(".bin").is_file():
        return openvino.Core().read_model(str(kept))
    torch: Any = import_module("torch")

    class Traced(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = transformer

        def forward(self, *values: Any) -> Any:
            return self.inner(**dict(zip(example, values, strict=True)), return_dict=True).last_hidden_state

    converted = openvino.convert_model(Traced(), example_input=tuple(example.values()))
    if kept is not None:
        partial = kept.with_name(f"{os.getpid()}.{kept.name}")
        openvino.save_model(converted, str(partial), compress_to_fp16=False)
        # The weights first: a description without them is never read.
        partial.with_suffix(".bin").replace(kept.with_suffix(".bin"))
        partial.replace(kept)
    return converted
