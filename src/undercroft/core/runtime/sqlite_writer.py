"""The thread that owns the writes of an AsyncStore on SQLite."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from undercroft.core.runtime.sqlite_file import SqliteFile, Work
from undercroft.core.runtime.transaction import ENDED
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import StoreClosed


class Writer:
    """The thread that owns the writer connection of an AsyncStore.

    Jobs that wait together share one commit, each under a savepoint of its own: its failure undoes it alone, and nobody
    is answered before the commit. A lease keeps the thread for one caller's transaction until he ends it.
    """

    SHARED = 64

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._jobs: queue.SimpleQueue[Job | Lease | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="undercroft-writer", daemon=True)
        self._thread.start()

    def submit(self, scope: Scope, work: Work) -> Future[Any]:
        """Queue a transaction; the future is done once it is durable. A job that has not begun can be cancelled."""
        job = Job(scope, work)
        self._jobs.put(job)
        return job.future

    def lease(self, cleanup: Callable[[], None]) -> "Lease":
        """Queue for the thread itself; ``cleanup`` is the last thing it runs for the lease."""
        lease = Lease(cleanup)
        self._jobs.put(lease)
        return lease

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _loop(self) -> None:
        held: Job | Lease | None = None
        while True:
            first = held if held is not None else self._jobs.get()
            held = None
            if first is None:
                return
            if isinstance(first, Lease):
                first.serve()
                continue
            batch = [first]
            while len(batch) < self.SHARED:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if not isinstance(following, Job):
                    held = following
                    if held is None:
                        self._jobs.put(None)
                    break
                batch.append(following)
            self._run([job for job in batch if job.future.set_running_or_notify_cancel()])

    def _run(self, batch: list["Job"]) -> None:
        if len(batch) == 1:
            _settle(batch[0], lambda: self._file.write(batch[0].scope, batch[0].work))
        elif batch:
            try:
                for job in self._share(batch):
                    self._run([job])
            except BaseException as error:  # noqa: BLE001 - whatever it is, every waiting caller must hear it
                for job in batch:
                    if not job.future.done():
                        job.future.set_exception(error)

    def _share(self, batch: list["Job"]) -> list["Job"]:
        """Run jobs in one transaction; returns those that another one's failure has undone."""
        connection = self._file.writer()
        self._file.begin(connection)
        done: list[tuple[Job, Tx, Any]] = []
        for job in batch:
            connection.execute("SAVEPOINT job")
            try:
                tx = self._file.tx(connection, job.scope)
                result = job.work(tx)
            except BaseException as error:  # noqa: BLE001 - handed to the caller who waits
                job.future.set_exception(error)
                if not connection.in_transaction:  # SQLite gave up the whole of it, as it does where time ran out
                    return [other for other in batch if not other.future.done()]
                connection.execute("ROLLBACK TO job")
                connection.execute("RELEASE job")
            else:
                connection.execute("RELEASE job")
                done.append((job, tx, result))
        self._file.commit(connection)
        for job, tx, result in done:
            tx.committed(self._file.memory)
            job.future.set_result(result)
        return []


class Job:
    """One transaction that waits, and the future of its outcome."""

    __slots__ = ("future", "scope", "work")

    def __init__(self, scope: Scope, work: Work) -> None:
        self.scope = scope
        self.work = work
        self.future: Future[Any] = Future()


class Lease:
    """The writer thread, lent: it runs what it is given, in order, until ``end``."""

    def __init__(self, cleanup: Callable[[], None]) -> None:
        self._cleanup = cleanup
        self._ended = False
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()

    def call(self, fn: Callable[[], Any]) -> Future[Any]:
        """Run a function on the thread."""
        if self._ended:
            raise StoreClosed(ENDED)
        future: Future[Any] = Future()
        self._calls.put((fn, future))
        return future

    def end(self) -> None:
        """Give the thread back; nobody would answer a later call."""
        self._ended = True
        self._calls.put(None)

    def serve(self) -> None:
        """Run calls on the writer's thread until the lease ends."""
        while (call := self._calls.get()) is not None:
            fn, future = call
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn())
                except BaseException as error:  # noqa: BLE001 - handed to the caller who waits
                    future.set_exception(error)
        self._cleanup()


def _settle(job: Job, fn: Callable[[], Any]) -> None:
    try:
        job.future.set_result(fn())
    except BaseException as error:  # noqa: BLE001 - handed to the caller who waits
        job.future.set_exception(error)
