"""Generate contracts/<service>/<Model>.json: the JSON Schema of everything that crosses a service boundary.

python scripts/contracts.py           write the files, print what changed
python scripts/contracts.py --check   change nothing; exit 1 when a file is stale
"""

import importlib
import inspect
import json
import sys
from pathlib import Path

from pydantic import BaseModel

SERVICES = ("auth", "broker", "direng", "pas", "pex", "plms", "vector_ops")
ROOT = Path(__file__).resolve().parent.parent / "contracts"


def render_schemas() -> dict[Path, str]:
    """Return the content of every contract file by its path."""
    schemas: dict[Path, str] = {}
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.models")
        for name, model in inspect.getmembers(module, inspect.isclass):
            # a service's models may be one module or a package of them
            is_own = f"{model.__module__}.".startswith(f"{module.__name__}.") and not name.startswith("_")
            if is_own and issubclass(model, BaseModel):
                schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
                schemas[ROOT / service / f"{name}.json"] = json.dumps(schema, indent=2, sort_keys=True) + "\n"
    return schemas


def find_stale(schemas: dict[Path, str]) -> list[Path]:
    """Return the files that are missing, differ, or should not be there."""
    stale = [path for path, text in schemas.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    return sorted(stale + [path for path in ROOT.rglob("*.json") if path not in schemas])


def main() -> int:
    """Write or check; return the exit code."""
    schemas = render_schemas()
    stale = find_stale(schemas)
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"stale contract {path.relative_to(ROOT.parent)}; run `make contracts` and read the diff")
        return 1 if stale else 0
    for path in stale:
        if path in schemas:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(schemas[path], encoding="utf-8")
        else:
            path.unlink()
        print(f"wrote {path.relative_to(ROOT.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
