"""Arguments for any declared call, made from its annotations with a seeded generator."""

import collections.abc
import dataclasses
import inspect
import types
import typing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import SecretBytes, SecretStr

from undercroft.core.operation import gathered
from undercroft.upkeep import doctor, records

LATER = vars(records) | vars(doctor)
"""What the annotations of undercroft.overview name, which imports nothing before it is called."""

PAST = datetime(2020, 1, 1, tzinfo=UTC)


class Unknown(TypeError):
    """An annotation that nobody has taught `Arguments` yet: add it there, so that its calls are attacked too."""


class Arguments:
    """Makes values from words and ids that a caller may know."""

    def __init__(
        self,
        random: Random,
        words: list[str],
        ids: list[UUID],
        said: list[str],
        named: dict[str, collections.abc.Callable[[], Any]],
    ) -> None:
        """``words`` are the platform's ids, ``said`` anything else; ``named`` makes parameters of certain names."""
        self._named = named
        self._random = random
        self._words = words
        self._ids = ids
        self._said = said

    def of(self, declaration: Any) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of a call; each optional one is left out as often as not."""
        fn = declaration.fn
        hints = get_type_hints(fn, localns=LATER)
        parameters = list(inspect.signature(fn).parameters.values())
        skipped = 0 if isinstance(declaration, gathered) else 1
        if type(declaration).__name__ in {"stream", "feed"}:
            skipped = 2
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in parameters[skipped:]:
            hint = hints.get(parameter.name, str)
            if parameter.kind is parameter.VAR_POSITIONAL:
                made = self._named.get(parameter.name)
                args += made() if made else [self.value(hint, parameter.name) for _ in range(self._random.randrange(3))]
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs |= self._typed_dict(get_args(hint)[0], total=False)
            elif parameter.default is parameter.empty or self._random.random() < 0.5:
                value = self.value(hint, parameter.name)
                if parameter.kind is parameter.KEYWORD_ONLY:
                    kwargs[parameter.name] = value
                elif parameter.default is parameter.empty:
                    args.append(value)
                else:
                    kwargs[parameter.name] = value
        return args, kwargs

    def value(self, hint: Any, name: str) -> Any:
        """A value of an annotation."""
        if name in self._named:
            return self._named[name]()
        origin, inner = get_origin(hint), get_args(hint)
        if origin in {Union, types.UnionType, typing.Annotated}:
            return self.value(inner[0] if origin is typing.Annotated else self._random.choice(inner), name)
        if origin is Literal:
            return self._random.choice(inner)
        if origin is not None:
            return self._container(origin, inner, name)
        if dataclasses.is_dataclass(hint):
            return self._dataclass(hint)
        return self._typed_dict(hint, total=True) if typing.is_typeddict(hint) else self._plain(hint, name)

    def _container(self, origin: Any, inner: tuple[Any, ...], name: str) -> Any:
        if origin is collections.abc.Callable:
            return lambda *_, **__: self._text()
        if issubclass(origin, collections.abc.Mapping):
            return {self._word(): self.value(inner[1], name)}
        if origin is tuple and inner[-1] is not Ellipsis:
            return tuple(self.value(one, name) for one in inner)
        made = [self.value(inner[0], name) for _ in range(self._random.randrange(1, 4))]
        if issubclass(origin, collections.abc.Set):
            return frozenset(made)
        return tuple(made) if origin is tuple else made

    def _plain(self, hint: Any, name: str) -> Any:
        random = self._random
        made = {
            str: random.choice([self._word, self._word, self._text]),
            Any: self._text,
            object: self._text,
            UUID: partial(random.choice, self._ids),
            bool: lambda: random.random() < 0.5,
            int: lambda: random.choice([1, 2, 50]),
            float: lambda: random.choice([0.5, 1.0, 24.0]),
            bytes: lambda: self._text().encode(),
            SecretStr: lambda: SecretStr(self._text()),
            SecretBytes: lambda: SecretBytes(self._text().encode()),
            datetime: lambda: PAST + timedelta(seconds=random.randrange(200_000_000)),
            timedelta: lambda: timedelta(hours=random.randrange(1, 100)),
            Path: lambda: Path("/nowhere", self._word()),
            types.NoneType: lambda: None,
        }
        if hint not in made:
            raise Unknown(f"{name}: {hint}")
        return made[hint]()

    def _dataclass(self, hint: Any) -> Any:
        hints = get_type_hints(hint)
        given = {
            field.name: self.value(hints[field.name], field.name)
            for field in dataclasses.fields(hint)
            if field.init and (_is_required(field) or self._random.random() < 0.5)
        }
        return hint(**given)

    def _typed_dict(self, hint: Any, *, total: bool) -> dict[str, Any]:
        hints = get_type_hints(hint)
        return {name: self.value(kind, name) for name, kind in hints.items() if total or self._random.random() < 0.5}

    def _word(self) -> str:
        return self._random.choice(self._words)

    def _text(self) -> str:
        return self._random.choice(self._said)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def shown(value: Any) -> str:
    """Everything that a caller can read in a result, fields that a repr hides too."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return shown({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, collections.abc.Mapping):
        return "{" + ", ".join(f"{shown(key)}: {shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(map(shown, value)) + "]"
    return repr(value.get_secret_value() if isinstance(value, SecretStr | SecretBytes) else value)
