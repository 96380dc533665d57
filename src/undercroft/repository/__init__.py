"""Repositories: the rows of one model, ours or one of yours, at the speed of the driver."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, TypeVar, overload

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from undercroft.core.operation import C, Slice
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.repository import ops, queries
from undercroft.repository.kinds import About, M, many, maybe, one, paged, plain, streamed
from undercroft.repository.plan import plan_of

__all__ = ["Repositories", "Repository"]

T = TypeVar("T")


class Repository(About[C, M], Generic[C, M]):
    """Creates, reads, changes and deletes the rows of one model.

    What comes back has the model's columns as attributes, with their types; it is a frozen copy of the row, and no
    instance of the model: relations and further methods are those of ``repository(model, as_orm=True)``.

    ``where`` names columns and the values they must have, ``{"name": "x", "age >=": 3}``; the operators are ``=``, as
    where there is none, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``, and None is a value as any other.
    ``order_by`` names columns too, ``"-created_at"`` the latest first. For anything else there is `query`.
    """

    create = one(ops.create, access="append")
    create_many = plain(ops.create_many, access="write")
    get = one(ops.get, access="point")
    get_or_none = maybe(ops.get_or_none, access="point")
    update = one(ops.update, access="append")
    delete = plain(ops.delete, access="write")
    list = many(ops.list_, access="read")
    page = paged(ops.page, access="read")
    each = streamed(ops.each)
    count = plain(ops.count, access="read")
    exists = plain(ops.exists, access="read")
    query = many(queries.query)


class Repositories(Slice[C], Generic[C]):
    """What has repositories and sessions: the store, for tables without tenants, and each tenant."""

    def repository(self, model: type[T], *, as_orm: bool = False) -> Repository[C, T]:
        """Return the repository of a mapped class, of ours in `undercroft.models` or of your own.

        With ``as_orm`` it gives instances of the class instead of frozen rows: detached, as after their session's end.

        Raises:
            InvalidInput: the class is not mapped to one table.
        """
        plan = plan_of(model)
        return Repository(self._runner, self._scope, plan.of_instances if as_orm else plan)

    @overload
    def session(self: "Repositories[Blocking]") -> AbstractContextManager[Session]: ...
    @overload
    def session(self: "Repositories[Awaiting]") -> AbstractAsyncContextManager[AsyncSession]: ...
    def session(self: Any) -> Any:
        """Open an ORM session that commits at the end of the block; a tenant's sees this tenant alone."""
        return self._runner.session(self._scope)
