"""`python -m tests.fakes.model_server --script FILE.json --port 0 [--port-file F] [--key K]`: serve until stopped.

Prints the port as its first line; `--port-file` gets it too, complete or not at all.
"""

import argparse
import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.fakes.model_server.script import Script, ScriptError
from tests.fakes.model_server.server import ScriptedModelServer


def _publish(port: int, file: Path | None) -> None:
    if file is not None:
        draft = file.with_suffix(".tmp")
        draft.write_text(f"{port}\n", encoding="utf-8")
        draft.replace(file)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


async def _serve(script: Script, port: int, port_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = ScriptedModelServer(script, port)
    async with server:
        _publish(int(server.base_url.rsplit(":", 1)[1]), port_file)
        await stop.wait()


def main() -> int:
    """Serve; return 2 when the script is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.model_server")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=Path)
    parser.add_argument("--key", action="append", default=[], help="accept this key, besides those of the script")
    arguments = parser.parse_args()
    try:
        script = Script.load(arguments.script)
    except (ScriptError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    script = replace(script, keys=script.keys | frozenset(arguments.key))
    asyncio.run(_serve(script, arguments.port, arguments.port_file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
