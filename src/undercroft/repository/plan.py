"""What is known of a model once, so that a call on its repository need not ask again."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Generic, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper, configure_mappers, make_transient_to_detached
from sqlalchemy.orm.instrumentation import ClassManager, manager_of_class

from undercroft.core import ids
from undercroft.core.dialects.base import ReturnedRow
from undercroft.core.schema import Base, Uuid
from undercroft.errors import InvalidInput, TenantMismatch
from undercroft.repository.selection import Selection

M = TypeVar("M")
Filler = Callable[[], Any]
TENANT = "tenant_id"


class HasTenant(Protocol):
    """What a tenant is entered in: a transaction, or a session."""

    @property
    def tenant_id(self) -> UUID:
        """The tenant; raises TenantNotSet where none is entered."""


class Plan(Generic[M]):
    """A model's table, key and defaults, the class of its rows, and the statements that were made for it.

    ``attributes`` maps the names of attributes to columns; ``key`` has those of the primary key that a caller gives,
    which is all but the tenant.
    """

    def __init__(self, model: type[M]) -> None:
        mapper = _mapper(model)
        self.model = model
        self.name = f"{model.__module__}.{model.__qualname__}"
        self.table: sa.Table = mapper.local_table  # type: ignore[assignment]  # _mapper made sure
        self.attributes: dict[str, sa.Column[Any]] = {
            mapper.get_property_by_column(column).key: column
            for column in self.table.columns
            if column in mapper.columns.values()
        }
        self._named = {column: name for name, column in self.attributes.items()}
        self.has_tenant = issubclass(model, Base) and TENANT in self.table.c
        self.identity = tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
        self.key = tuple(name for name in self.identity if not self.is_tenant(name)) or self.identity
        self.types = _types(model, self.attributes)
        self.row = _row_class(model, self.types)
        self.make: Callable[[Sequence[Any]], M] = _row_maker(self.row, tuple(self.attributes))
        self.as_orm = False
        self.selection = Selection(self)
        self.returned = ReturnedRow(self.selection.is_key(), tuple(self.attributes.values()))
        self.delete = sa.delete(self.table).where(*self.selection.is_key())
        self._fillers = _fillers(model, self.attributes, self.key)
        self._refreshers = {
            name: _call(column.onupdate.arg) if column.onupdate.is_callable else _constant(column.onupdate.arg)  # type: ignore[attr-defined]
            for name, column in self.attributes.items()
            if column.onupdate is not None and (column.onupdate.is_callable or column.onupdate.is_scalar)
        }
        self._required = [name for name, column in self.attributes.items() if _is_required(column, self.table)]
        self._inserts: dict[tuple[str, ...], sa.Insert] = {}
        # PostgreSQL takes no value for such a column, not even its own, so no upsert of a row upon itself.
        self.fits_upsert = not any(
            column.identity is not None and column.identity.always for column in self.table.columns
        )
        self._declared: dict[Any, tuple[Any, str]] = {}

    @functools.cached_property
    def of_instances(self) -> "Plan[M]":
        """The same plan, which makes instances of the model."""
        other = copy.copy(self)
        other.make = _instance_maker(self.model, tuple(self.attributes))
        other.as_orm, other._declared = True, {}  # noqa: SLF001 - it is one of us
        return other

    def declared(self, kind: Any, declare: Callable[["Plan[Any]"], tuple[Any, str]]) -> tuple[Any, str]:
        """Return what a kind declares for this model, once."""
        known = self._declared.get(kind)
        if known is None:
            known = self._declared[kind] = declare(self)
        return known

    def is_tenant(self, name: str) -> bool:
        """Whether an attribute says whose the row is."""
        return self.has_tenant and self.attributes[name].name == TENANT

    def check(self, names: Sequence[str] | Mapping[str, Any]) -> None:
        """Raise InvalidInput for a name that is no attribute with a column."""
        for name in names:
            if name not in self.attributes:
                raise InvalidInput(
                    f"{self.model.__name__} has no column {name}",
                    field=name,
                    hint=f"it has {', '.join(self.attributes)}",
                )

    def check_types(self, values: Mapping[str, Any]) -> None:
        """Raise InvalidInput for a value of another type than the model says: every engine would say something else."""
        for name, value in values.items():
            wanted = self.types[name].accepted
            if value is not None and wanted is not None and not isinstance(value, wanted):
                raise InvalidInput(f"{name} is {_shown(wanted)} and no {type(value).__name__}", field=name)

    def key_values(self, tx: HasTenant, key: Any) -> dict[str, Any]:
        """Return the parameters that name one row; raises InvalidInput for a key of another shape."""
        parts = [key] if len(self.key) == 1 and not isinstance(key, tuple | list) else key
        if not isinstance(parts, tuple | list) or len(parts) != len(self.key) or any(part is None for part in parts):
            raise InvalidInput(f"A key of {self.model.__name__} is ({', '.join(self.key)})", field="key")
        self.check_types(named := dict(zip(self.key, parts, strict=True)))
        values = {f"key_{name}": part for name, part in named.items()}
        return {TENANT: tx.tenant_id, **values} if self.has_tenant else values

    def completed(self, tx: HasTenant, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new row's values with the defaults of what is not given, and its tenant.

        Raises:
            InvalidInput: an unknown name, or a value is missing.
            TenantMismatch: it would be another tenant's.
        """
        self.check(given)
        self.check_types(given)
        values = dict(given)
        if self.has_tenant:
            name = self._named[self.table.c[TENANT]]
            if values.setdefault(name, tx.tenant_id) != tx.tenant_id:
                raise TenantMismatch("The row belongs to another tenant", hint="leave tenant_id out")
        for name, fill in self._fillers.items():
            if name not in values:
                values[name] = fill()
        for name in self._required:
            if name not in values:
                raise InvalidInput(f"{self.model.__name__} needs a value for {name}", field=name, hint="give it")
        return values

    def changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return changes with what is to be written at every change; raises InvalidInput for an unknown name."""
        self.check(changes)
        self.check_types(changes)
        for name in changes:
            if self.is_tenant(name) or name in self.key:
                raise InvalidInput(f"{name} says which row it is, and stays", field=name, hint="create another row")
        return {**{name: fill() for name, fill in self._refreshers.items()}, **changes}

    def insert(self, names: tuple[str, ...]) -> sa.Insert:
        """Return the statement that inserts a row of these attributes and returns all of it."""
        known = self._inserts.get(names)
        if known is None:
            values = {
                self.attributes[name].name: sa.bindparam(name, type_=self.attributes[name].type) for name in names
            }
            known = (
                sa.insert(self.table).values(values).returning(*self.attributes.values()).execution_options(shares=())
            )
            self._inserts[names] = known
        return known


_PLANS: dict[type, Plan[Any]] = {}


def plan_of(model: type[M]) -> Plan[M]:
    """Return the plan of a model, the same one for every repository."""
    known = _PLANS.get(model)
    if known is None:
        known = _PLANS[model] = Plan(model)
    return known


def _mapper(model: type) -> Mapper[Any]:
    try:
        mapper: Any = sa.inspect(model)
    except NoInspectionAvailable:
        mapper = None
    if not isinstance(mapper, Mapper) or not isinstance(mapper.local_table, sa.Table) or mapper.inherits is not None:
        raise InvalidInput(
            f"{model!r} is not mapped to one table", field="model", hint="give a model, as the class itself"
        )
    return mapper


@dataclasses.dataclass(frozen=True, slots=True)
class _Type:
    """What a model says of an attribute: its annotation, and the classes of its values where that names plain ones."""

    annotation: Any
    accepted: type | tuple[type, ...] | None


_PLAIN = {UUID, str, int, bool, bytes, datetime, date, Decimal, dict, list}


def _types(model: type, names: Iterable[str]) -> dict[str, _Type]:
    hints = get_type_hints(model)
    return {name: _type(next(iter(get_args(hints.get(name))), Any)) for name in names}


def _type(annotation: Any) -> _Type:
    parts = [part for part in get_args(annotation) if part is not NoneType]
    alone = parts[0] if len(parts) == 1 and get_origin(annotation) in {Union, UnionType} else annotation
    plain = get_origin(alone) or alone
    if plain is float:
        return _Type(annotation, (float, int))
    return _Type(annotation, plain if plain in _PLAIN else None)


def _shown(accepted: type | tuple[type, ...]) -> str:
    return accepted[0].__name__ if isinstance(accepted, tuple) else accepted.__name__


def _row_class(model: type, types: Mapping[str, _Type]) -> type:
    """Make the frozen class of a model's rows; it shows in `repr` what the model shows."""
    shown = {field.name: field.repr for field in dataclasses.fields(model)} if dataclasses.is_dataclass(model) else {}
    fields = [(name, kind.annotation, dataclasses.field(repr=shown.get(name, True))) for name, kind in types.items()]
    row = dataclasses.make_dataclass(model.__name__, fields, frozen=True)
    row.__module__, row.__doc__ = model.__module__, f"A row of {model.__name__}."
    return row


def _instance_maker(model: type, names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any]:
    # What the ORM makes of a row when it loads it, without a session and a statement of its own.
    configure_mappers()
    manager: ClassManager[Any] = manager_of_class(model)

    def make(values: Sequence[Any]) -> Any:
        made = manager.new_instance()
        made.__dict__.update(zip(names, values, strict=True))
        make_transient_to_detached(made)
        return made

    return make


def _row_maker(row: type, names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any]:
    # Past __init__, which for a frozen class costs three times as much as the rest of reading a row.
    new: Callable[[type], Any] = object.__new__
    assign = object.__setattr__

    def make(values: Sequence[Any]) -> Any:
        made = new(row)
        assign(made, "__dict__", dict(zip(names, values, strict=True)))
        return made

    return make


def _fillers(model: type, attributes: Mapping[str, sa.Column[Any]], key: tuple[str, ...]) -> dict[str, Filler]:
    """Return what fills attributes that are not given: the model's defaults, and an id for a row that has none."""
    factories = {
        field.name: field.default_factory
        for field in (dataclasses.fields(model) if dataclasses.is_dataclass(model) else ())
        if field.default_factory is not dataclasses.MISSING
    }
    fillers: dict[str, Filler] = {}
    for name, column in attributes.items():
        default: Any = column.default
        if name in factories:
            fillers[name] = factories[name]
        elif default is not None and default.is_callable:
            fillers[name] = _call(default.arg)
        elif default is not None and default.is_scalar:
            fillers[name] = _constant(default.arg)
        elif key == (name,) and isinstance(column.type, Uuid | sa.Uuid) and not column.foreign_keys:
            fillers[name] = ids.new
    return fillers


def _call(function: Callable[[Any], Any]) -> Filler:
    return lambda: function(None)  # SQLAlchemy has made it take a context


def _constant(value: Any) -> Filler:
    return lambda: value


def _is_required(column: sa.Column[Any], table: sa.Table) -> bool:
    fills_itself = (column.server_default, column.default, column.computed, column.identity)
    return (
        not column.nullable and all(part is None for part in fills_itself) and column is not table.autoincrement_column
    )
