"""The bar that runs while an export is read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import override

from undercroft.cli.output import Output
from undercroft.importers.load import ImportReport
from undercroft.importers.slack import SlackExport


class Bar:
    """How far the reading of an export has come; silent where nobody watches."""

    def __init__(self, export: SlackExport, progress: Progress) -> None:
        self._export = export
        self._progress = progress
        self._task = progress.add_task("", total=None, rate="")

    def begin(self, what: str) -> None:
        """Begin the next pass over the export."""
        self._progress.reset(self._task, total=self._export.total_bytes or None, description=what)

    def follow(self) -> None:
        """Move to where the export is read now."""
        self._progress.update(self._task, completed=self._export.bytes_done)

    def note(self, so_far: ImportReport) -> None:
        """Take over how many messages were stored."""
        if so_far.read and so_far.seconds:
            self._progress.update(self._task, rate=f"{so_far.read / so_far.seconds:,.0f} messages/s")


class _Following(Progress):
    """Asks where the export is read whenever it is drawn: a pass over it reports nothing by itself."""

    bar: Bar | None = None

    @override
    def get_renderables(self) -> Iterable[RenderableType]:
        if self.bar is not None:
            self.bar.follow()
        return super().get_renderables()


@contextmanager
def watched(out: Output, export: SlackExport) -> Iterator[Bar]:
    """Draw a bar while the block runs, where a person sits at the terminal."""
    progress = _Following(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan"),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}", style="dim"),
        TimeRemainingColumn(compact=True),
        console=out.errors,
        transient=True,
        disable=not (out.is_for_people and out.errors.is_terminal),
    )
    progress.bar = Bar(export, progress)
    with progress:
        yield progress.bar
