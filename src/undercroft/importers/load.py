"""An export stored in a tenant's archive, in batches that are whole by themselves.

What is read and in which order it is stored is decided once, by a generator of steps; the two colours differ in who
carries a step to the database. Users go before channels and those before messages, nothing is ever deleted, and a row
is found again by its own name: killed at any moment and run again, an import ends with the same rows.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from undercroft import TenantScope
from undercroft.archive.records import MessageRecord
from undercroft.errors import WrongColour
from undercroft.importers.quarantine import Quarantined
from undercroft.importers.slack import SlackExport, open_export

_RECORDS = 1000
_CHARACTERS = 4 << 20
"""Of text in one batch: a thousand messages are small, but one alone may have megabytes."""
_SHOWN = 3

R = TypeVar("R")
T = TypeVar("T")
Step: TypeAlias = Callable[[TenantScope[Any]], Any]
Steps: TypeAlias = Generator[Step, Any, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import came to: ``read`` is the sum of ``added``, ``updated``, ``unchanged`` and ``quarantined``.

    These count messages, and whatever else was not understood, of which ``examples`` shows at most three.
    """

    read: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    quarantined: int = 0
    users: int = 0
    channels: int = 0
    seconds: float = 0.0
    examples: tuple[Quarantined, ...] = ()


Progress: TypeAlias = Callable[[ImportReport], object]
"""Called after each batch with what the import has come to so far."""


def load_slack(tenant: TenantScope[Any], path: str | Path, *, progress: Progress | None = None) -> ImportReport:
    """Import a Slack export, official or slackdump's, a zip archive or a directory; repeating it adds nothing.

    Raises:
        SourceRefused: it is unsafe or unreadable; nothing was written, since all of it is looked at first.
        WrongColour: the tenant is an AsyncStore's.
    """
    with open_export(path) as export:
        export.verify()
        return load_export(tenant, export, Path(path).name, progress=progress)


def load_export(
    tenant: TenantScope[Any], export: SlackExport, name: str, *, progress: Progress | None = None
) -> ImportReport:
    """Import an export that is open and was verified; ``name`` is what the archive calls it."""
    work = _Import(export, name)
    steps = work.steps()
    step = next(steps, None)
    while step is not None:
        result = step(tenant)
        if inspect.iscoroutine(result):
            result.close()
            raise WrongColour
        step = _next(steps, result)
        if progress is not None:
            progress(work.report())
    return work.report()


async def load_slack_async(
    tenant: TenantScope[Any], path: str | Path, *, progress: Progress | None = None
) -> ImportReport:
    """Import a Slack export as `load_slack` does: read in a thread, stored and ``progress`` called on the event loop.

    Raises:
        SourceRefused: it is unsafe or unreadable; nothing was written, since all of it is looked at first.
    """
    export = await _in_thread(partial(open_export, path))
    try:
        await _in_thread(export.verify)
        work = _Import(export, Path(path).name)
        steps = work.steps()
        step = await _in_thread(partial(next, steps, None))
        while step is not None:
            result = await step(tenant)
            step = await _in_thread(partial(_next, steps, result))
            if progress is not None:
                progress(work.report())
        return work.report()
    finally:
        export.close()


def _next(steps: Steps, result: Any) -> Step | None:
    """Hand a step's result in and return the next step: a thread cannot hand on the StopIteration that ends them."""
    try:
        return steps.send(result)
    except StopIteration:
        return None


async def _in_thread(work: Callable[[], T]) -> T:
    """Run work in a thread and wait for its end even where the task is cancelled: its file is closed after that."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


class _Import:
    """The steps of one import, and what they have come to."""

    def __init__(self, export: SlackExport, name: str) -> None:
        self._export = export
        self._name = name
        self._began = time.perf_counter()
        self._report = ImportReport()
        self._years: set[int] = set()

    def report(self) -> ImportReport:
        """Return what the steps taken so far have come to."""
        now = self._report
        read = now.added + now.updated + now.unchanged + now.quarantined
        return replace(now, read=read, seconds=time.perf_counter() - self._began)

    def steps(self) -> Steps:
        """Yield what is to be done next; it is sent what that returned."""
        for users, refused in _batches(self._export.users()):
            yield from self._save("save_users", users, users=len(users))
            yield from self._quarantine(refused)
        for channels, refused in _batches(self._export.channels()):
            yield from self._save("save_channels", channels, channels=len(channels))
            yield from self._quarantine(refused)
        for messages, refused in _batches(self._export.messages()):
            stubs = self._export.take_stubs()  # before the messages that name them
            yield from self._save("save_users", stubs, users=len(stubs))
            yield from self._prepare(messages)
            saved = yield from self._save("save_messages", messages)
            if saved is not None:
                self._count(added=saved.added, updated=saved.updated, unchanged=saved.unchanged)
            yield from self._quarantine(refused)
        if self._report.added or self._report.updated:
            yield self._audit

    def _prepare(self, messages: Sequence[MessageRecord]) -> Steps:
        """Make room for years that come for the first time."""
        moments = {one.sent_at.year: one.sent_at for one in messages if one.sent_at.year not in self._years}
        if moments:
            self._years |= moments.keys()
            yield lambda tenant: tenant.archive.prepare(min(moments.values()), max(moments.values()))

    def _save(self, verb: str, records: Sequence[Any], **counted: int) -> Generator[Step, Any, Any]:
        if not records:
            return None
        saved = yield lambda tenant: getattr(tenant.archive, verb)(records)
        self._count(**counted)
        return saved

    def _quarantine(self, refused: Sequence[Quarantined]) -> Steps:
        if refused:
            yield lambda tenant: tenant.archive.quarantine(refused, source=self._name)
            self._count(quarantined=len(refused))
            self._report = replace(self._report, examples=(*self._report.examples, *refused)[:_SHOWN])

    def _audit(self, tenant: TenantScope[Any]) -> Any:
        now = self.report()
        counts = {name: getattr(now, name) for name in ("read", "added", "updated", "unchanged", "quarantined")}
        return tenant.audit.log("archive.import", resource_type="export", resource_id=self._name, data=counts)

    def _count(self, **more: int) -> None:
        now = self._report
        self._report = replace(now, **{name: getattr(now, name) + number for name, number in more.items()})


def _batches(found: Iterable[R | Quarantined]) -> Iterator[tuple[list[R], list[Quarantined]]]:
    """Yield records in batches, each with what was not understood among them."""
    records: list[R] = []
    refused: list[Quarantined] = []
    characters = 0
    for one in found:
        if isinstance(one, Quarantined):
            refused.append(one)
        else:
            records.append(one)
            characters += _weight(one)
        if len(records) + len(refused) >= _RECORDS or characters >= _CHARACTERS:
            yield records, refused
            records, refused, characters = [], [], 0
    if records or refused:
        yield records, refused


def _weight(record: object) -> int:
    if not isinstance(record, MessageRecord):
        return 0
    return len(record.text) + len(record.plain or "") + len(record.search_words)
