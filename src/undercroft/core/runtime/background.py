"""Work that goes on beside the caller: in a thread, or in a task of the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.util import await_only

from undercroft.core.runtime.greenlets import spawn
from undercroft.core.runtime.ports import Work


def in_thread(work: Work) -> Callable[[], None]:
    """Begin work in a thread of its own; a process does not wait for it at its end."""
    asked = threading.Event()
    thread = threading.Thread(target=work, args=(asked.wait,), name="undercroft-upkeep", daemon=True)
    thread.start()

    def stop() -> None:
        asked.set()
        thread.join()

    return stop


def in_task(work: Work) -> Callable[[], None]:
    """Begin work in a task of the running loop; called, and stopped, in a greenlet of that loop."""
    asked = asyncio.Event()

    async def sleep(seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # not wait_for, which may lose a cancellation
                await asked.wait()
        return asked.is_set()

    task = asyncio.get_running_loop().create_task(spawn(work, lambda seconds: await_only(sleep(seconds))))

    def stop() -> None:
        asked.set()
        await_only(task)

    return stop
