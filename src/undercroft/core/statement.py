"""A Core statement compiled once for one driver, with the processors of its values."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count, repeat
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import CompilerElement

type_processor = Callable[[Any], Any]

RIDER = "rider"
"""The parameter of a shared text that comes back with every row, and so tells whose it is."""


class Prepared:
    """SQL text for the driver, the order of its parameters, and how values travel both ways.

    ``share`` makes what it is sent as together with others of its kind; None where it always travels alone. ``binary``
    tells that its rows are better fetched as the server keeps them, where the driver's own choice is text.
    """

    __slots__ = ("_results", "_slots", "binary", "share", "sql")

    def __init__(
        self,
        sql: str,
        slots: Sequence[tuple[str | None, type_processor | None, Any]],
        results: Sequence[type_processor | None],
    ) -> None:
        self.sql = sql
        self.share: Callable[[], Shared] | None = None
        self.binary = False
        self._slots = tuple(slots)
        self._results = tuple((place, process) for place, process in enumerate(results) if process is not None)

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """Order and convert the given parameters for the driver; KeyError for one that is missing."""
        return [
            fixed if name is None else (given[name] if process is None else process(given[name]))
            for name, process, fixed in self._slots
        ]

    @property
    def names(self) -> list[str | None]:
        """The names of the parameters in their order, None where the value is a fixed one."""
        return [name for name, _, _ in self._slots]

    def many(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """Order and convert the parameters of many rows, a column at a time: a third of the work of row by row."""
        columns: list[Iterable[Any]] = []
        for name, process, fixed in self._slots:
            if name is None:
                columns.append(repeat(fixed, len(rows)))
                continue
            given = [row[name] for row in rows]
            columns.append(given if process is None else map(process, given))
        return list(zip(*columns, strict=True))

    def decode(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Turn the driver's rows into tuples of Python values."""
        if not (self._results and rows):
            return list(map(tuple, rows))
        # A column at a time: row by row costs three times as much.
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for place, process in self._results:
            columns[place] = map(process, columns[place])
        return list(zip(*columns, strict=True))


class Shared:
    """A statement as it travels with others of its kind: each row of the answer ends with the number of its rider.

    ``order`` gives of a statement's arguments what its locks are taken by, so that all who travel take them in turn.
    """

    __slots__ = ("_arranged", "order", "sql")

    def __init__(self, own: Prepared, marked: Prepared, sql: str, locks: Sequence[str]) -> None:
        """``marked`` has the parameters of ``own`` and `RIDER`, maybe in another order; ``sql`` is its text."""
        names = [*_told_apart(own.names), RIDER]
        self.sql = sql
        self.order = itemgetter(*map(names.index, locks))
        self._arranged = itemgetter(*map(names.index, _told_apart(marked.names)))

    def arguments(self, own: Sequence[Any], rider: int) -> tuple[Any, ...]:
        """Arrange the arguments of the statement that travels alone for this one."""
        arranged: tuple[Any, ...] = self._arranged([*own, rider])
        return arranged


def _told_apart(names: Iterable[str | None]) -> list[Any]:
    """Name fixed values by the order they come in."""
    fixed = count()
    return [next(fixed) if name is None else name for name in names]


def prepare(
    statement: CompilerElement,
    dialect: Dialect,
    *,
    schema_map: Mapping[str | None, str | None] | None,
    wrap: Callable[[str], tuple[str, int]] | None = None,
    wrapped_parameter: str = "entered_tenant",
    wrapped_process: type_processor | None = None,
) -> Prepared:
    """Compile a statement for a dialect; ``wrap`` may rewrite the text and tell where it put its own parameter.

    Expanding parameters (``IN`` over a Python list) and Python-side column defaults are refused: both would need work
    at every execution. ``any_of`` replaces the first, explicit values the second.
    """
    options: dict[str, Any] = {}
    if schema_map is not None:
        options = {"schema_translate_map": schema_map, "render_schema_translate": True}
    compiled = statement.compile(dialect=dialect, **options)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - narrows the type of what compile() returns for a statement
    if compiled.post_compile_params or compiled.insert_prefetch or compiled.update_prefetch:
        message = f"not a fixed statement (list parameter or column default): {compiled.string}"
        raise TypeError(message)
    slots = [_slot(name, compiled.binds[name], dialect) for name in compiled.positiontup or ()]
    sql = compiled.string
    if wrap is not None:
        sql, position = wrap(sql)
        slots.insert(position, (wrapped_parameter, wrapped_process, None))
    columns = getattr(statement, "exported_columns", ())
    results = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    return Prepared(sql, slots, results)


def _slot(name: str, bind: BindParameter[Any], dialect: Dialect) -> tuple[str | None, type_processor | None, Any]:
    process = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.required:
        return name, process, None
    return None, None, bind.value if process is None else process(bind.value)
