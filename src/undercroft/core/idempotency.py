"""A write that may be called twice and is done once: its key, what was asked under it, and what was answered.

Both are stored in the transaction of the work, so whoever finds the key finds the work done.
"""

import functools
import inspect
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, get_type_hints

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from undercroft.core.canonical import check_text
from undercroft.core.idempotency_models import IdempotencyKey as Row
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import IdempotencyConflict, IdempotencyInFlight, InvalidInput

if TYPE_CHECKING:
    from undercroft.core.operation import operation

FORMAT = 1
KEPT = timedelta(hours=48)
"""Longer than anybody retries."""
LONGEST = 255

_FIND = select(Row.request_hash, Row.response).where(
    Row.tenant_id == bindparam("tenant_id"),
    Row.operation == bindparam("operation"),
    Row.key == bindparam("key"),
    Row.expires_at > bindparam("now"),
)
_ADD = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    operation=bindparam("operation"),
    key=bindparam("key"),
    request_hash=bindparam("request_hash"),
    response=bindparam("response"),
    created_at=bindparam("now"),
    expires_at=bindparam("expires_at"),
)
_KEEP = _ADD.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.operation, Row.key],
    set_={name: _ADD.excluded[name] for name in ("request_hash", "response", "created_at", "expires_at")},
    where=Row.expires_at <= _ADD.excluded.created_at,
)
# 32 random bytes are no UTF-8.
_CONFIG = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")


def check_key(key: str) -> str:
    """Return an idempotency key; raises InvalidInput for an empty one, or one of more than 255 characters."""
    if not 1 <= len(check_text(key, "key")) <= LONGEST:
        message = f"An idempotency key has 1 to {LONGEST} characters."
        raise InvalidInput(message, field="key")
    return key


def is_keyed(scope: Scope, op: "operation[..., Any]") -> bool:
    """Tell whether a call is made under a key: one that only reads may be repeated anyway."""
    return scope.idempotency_key is not None and op.access in {"write", "append"}


def refuse_key(scope: Scope) -> None:
    """Raise InvalidInput for a key on what is no single transaction."""
    if scope.idempotency_key is not None:
        message = "An idempotency key covers one write, and this call is more than that."
        raise InvalidInput(message, field="key", hint="call it on the tenant itself, or give each write in it a key")


def work(scope: Scope, op: "operation[..., Any]", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Tx], Any]:
    """Return what a runner runs in the transaction of a call."""
    if not is_keyed(scope, op):
        return lambda tx: op.fn(tx, *args, **kwargs)
    return functools.partial(_once, op, str(scope.idempotency_key), args, kwargs)


def _once(op: "operation[..., Any]", key: str, args: tuple[Any, ...], kwargs: dict[str, Any], tx: Tx) -> Any:
    asked = request_hash(op, args, kwargs)
    entry = {"operation": op.name, "key": key, "now": tx.now}
    if not tx.dialect.try_lock(tx, f"{tx.tenant_id}/{op.name}/{key}"):
        raise IdempotencyInFlight
    found = tx.row(_FIND, entry)
    if found is not None:
        if found[0] != asked:
            raise IdempotencyConflict
        return read_answer(op, found[1])
    result = op.fn(tx, *args, **kwargs)
    entry |= {"request_hash": asked, "response": answer(op, result), "expires_at": tx.now + KEPT}
    if not tx.run(_KEEP, entry):
        raise IdempotencyInFlight
    return result


def request_hash(op: "operation[..., Any]", args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return the SHA-256 of what is asked: the arguments by name, without those that are left at their default.

    Raises:
        InvalidInput: an argument can be read only once, or has no form in JSON.
    """
    signature = _signature(op)
    given: dict[str, Any] = {}
    for name, value in signature.bind(None, *args, **kwargs).arguments.items():
        default = signature.parameters[name].default
        if value is default or name == next(iter(signature.parameters)):
            continue
        if isinstance(value, Iterator):
            message = "Under an idempotency key an argument must be readable twice."
            raise InvalidInput(message, field=name, hint="pass a list")
        given[name] = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    try:
        plain = to_jsonable_python(given, bytes_mode="hex", inf_nan_mode="strings")
    except PydanticSerializationError as error:
        message = "Under an idempotency key an argument must have a form in JSON."
        raise InvalidInput(message, hint="pass plain values") from error
    return sha256(b"%d\0" % FORMAT + json.dumps(plain, sort_keys=True).encode("utf-8", "surrogatepass")).digest()


def answer(op: "operation[..., Any]", result: Any) -> dict[str, Any]:
    """Return a result as JSON that `read_answer` turns back into an equal one."""
    kept = _answer_type(op).model_construct(value=result)
    return {"format": FORMAT, **kept.model_dump(mode="json")}


def read_answer(op: "operation[..., Any]", stored: Any) -> Any:
    """Return the result that was stored.

    Raises:
        IdempotencyConflict: another release stored it, and this one cannot read it.
    """
    try:
        if stored["format"] == FORMAT:
            return _answer_type(op).model_validate_json(orjson.dumps(stored)).value  # type: ignore[attr-defined]
    except ValidationError:
        pass
    message = "The call was done under this key, and its answer was stored by another release."
    raise IdempotencyConflict(message, hint="look at what it did, and use a new key for a new request")


@functools.cache
def _signature(op: "operation[..., Any]") -> inspect.Signature:
    return inspect.signature(op.fn)


@functools.cache
def _answer_type(op: "operation[..., Any]") -> type[BaseModel]:
    returned = get_type_hints(op.fn)["return"]
    return create_model("Answer", __config__=_CONFIG, value=(returned, ...))
