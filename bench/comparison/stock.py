"""arq as it comes, as a process of its own: empty jobs, which note how late they ran.

    python -m comparison.stock VALKEY_SOCKET FILE

At its end it writes the latenesses, in milliseconds, as JSON.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop
from arq.connections import RedisSettings
from arq.typing import StartupShutdown, WorkerCoroutine
from arq.worker import Worker, func

QUEUE = "arq:queue"
POLL_S = 0.02

late_ms: list[float] = []


async def empty(_: dict[str, Any], due_s: float) -> None:
    """Do nothing, at `due_s`."""
    late_ms.append((time.time() - due_s) * 1000)


def main() -> None:
    _, socket, file = sys.argv
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)

    async def write(_: dict[str, Any]) -> None:
        Path(file).write_bytes(msgspec.json.encode(late_ms))  # noqa: ASYNC240 - at the very end

    worker = Worker(
        functions=[func(cast("WorkerCoroutine", empty), name="empty")],
        redis_settings=RedisSettings(unix_socket_path=socket),
        queue_name=QUEUE,
        poll_delay=POLL_S,
        on_shutdown=cast("StartupShutdown", write),
    )
    worker.run()


if __name__ == "__main__":
    main()
