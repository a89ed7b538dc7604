"""The real server with one fault point armed: it kills itself (SIGKILL) the first time the engine passes there.

python tests/fakes/faulty_server.py HOME FAULT_POINT
"""

import asyncio
import os
import signal
import sys
from pathlib import Path


class KillAt:
    """Satisfies services.pas.core.ports.FaultPoints; production has none."""

    def __init__(self, name):
        self._name = name

    async def hit(self, name):
        if name == self._name:
            # Long enough for what happened just before to reach the listeners, far shorter than any card.
            await asyncio.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)


def main():
    home = Home(Path(sys.argv[1]))
    home.create()
    configure_logging(home.log_file)
    asyncio.run(run(home, Wiring(faults=KillAt(sys.argv[2]))))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from services.home import Home
    from services.host import run
    from services.kernel.log import configure_logging
    from services.topology import Wiring

    main()
