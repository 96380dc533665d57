"""What a process remembers of its tenants' data, and forgets at the notice of a change.

A `Subject` is one topic of one tenant: what is announced, waited for and forgotten together. A `Shelf` holds the
answers of one declaration about it. An answer is kept only where the subject's generation is still the one from before
it was read: whatever was announced meanwhile has raised it. A reader takes one look into a dictionary, with no lock and
no clock: what must not be read any more is not in it.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID
from weakref import WeakSet, WeakValueDictionary

EVERYTHING = "*"
"""The scope of a notice that is about every tenant."""
_PLAIN = {str, bytes, UUID, date, datetime, type(None)}
"""Types whose values equal none of another type: 1, 1.0 and True would be one key."""
_MUTABLE = (dict, list, set, bytearray)
SHARED = _PLAIN | {int, float, bool}
"""Types of answers that may be everybody's."""
NOTHING: Any = object()


class Subject:
    """One topic of one tenant. ``scope`` is what notices call it, None until it is known.

    ``own`` is the last version that this very process has announced, and has forgotten what it was about.
    """

    __slots__ = ("__weakref__", "generation", "own", "scope", "shelves", "tenant_id", "topic", "waiters")

    def __init__(self, tenant_id: UUID, topic: str) -> None:
        self.tenant_id = tenant_id
        self.topic = topic
        self.scope: str | None = None
        self.own: int | None = None
        self.generation = 0
        self.shelves: WeakSet[Shelf] = WeakSet()
        self.waiters: set[Callable[[], object]] = set()


class Shelf:
    """What was loaded for one declaration and tenant, by its arguments.

    ``answers`` has what was made of some of it for a caller, by his arguments, a single one by itself: so a warm call
    makes nothing, not even a tuple to look for.
    """

    __slots__ = ("__weakref__", "answers", "entries", "subject")

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.entries: dict[Hashable, Any] = {}
        self.answers: dict[Hashable, Any] = {}

    def drop(self, key: Hashable) -> None:
        """Forget one entry."""
        self.entries.pop(key, None)
        if isinstance(key, tuple):
            self.answers.pop(key[0] if len(key) == 1 else key, None)

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.answers.clear()


class Memory:
    """What one store remembers: ``most`` answers at a time, of which the oldest goes first.

    A note of each use would cost every warm call more than reading a busy one anew, once in so many, costs.

    It keeps nothing before `regain` and after `lose`: whoever listens for notices calls them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.alive = False
        self.closed = False
        self._subjects: WeakValueDictionary[tuple[UUID, str], Subject] = WeakValueDictionary()
        self._by_scope: WeakValueDictionary[str, Subject] = WeakValueDictionary()
        self._shelves: WeakValueDictionary[tuple[UUID, int], Shelf] = WeakValueDictionary()
        self._order: deque[tuple[Shelf, Hashable, Any]] = deque()
        self._lock = threading.RLock()
        _all.add(self)

    def subject(self, tenant_id: UUID, topic: str) -> Subject:
        """Return a topic of a tenant."""
        with self._lock:
            found = self._subjects.get((tenant_id, topic))
            if found is None:
                found = self._subjects[tenant_id, topic] = Subject(tenant_id, topic)
            return found

    def shelf(self, tenant_id: UUID, topic: str, declaration: object) -> Shelf:
        """Return where the answers of a declaration are kept; the declaration must outlive the store."""
        with self._lock:
            found = self._shelves.get((tenant_id, id(declaration)))
            if found is None:
                found = self._shelves[tenant_id, id(declaration)] = Shelf(self.subject(tenant_id, topic))
                found.subject.shelves.add(found)
            return found

    def name(self, subject: Subject, scope: str, generation: int) -> None:
        """Learn what notices call a subject, as it was asked in a generation; nothing read before that is kept."""
        with self._lock:
            if subject.generation == generation:
                subject.scope = scope
                self._by_scope[scope] = subject

    def attend(self, subject: Subject, wake: Callable[[], object]) -> None:
        """Have a function called at each change of a subject; it must be quick and must not raise."""
        with self._lock:
            subject.waiters.add(wake)

    def leave(self, subject: Subject, wake: Callable[[], object]) -> None:
        """Have it called no more."""
        with self._lock:
            subject.waiters.discard(wake)

    def keep(self, shelf: Shelf, key: Hashable, value: Any, generation: int) -> None:
        """Keep an answer, unless its subject was changed since the generation was taken.

        Raises:
            TypeError: everybody gets the same object, and this one could be changed by any of them.
        """
        if isinstance(value, _MUTABLE):
            message = f"what is remembered is shared, so it must be immutable: {type(value).__name__}"
            raise TypeError(message)
        with self._lock:
            subject = shelf.subject
            if not self.alive or subject.scope is None or subject.generation != generation:
                return
            shelf.entries[key] = value
            self._order.append((shelf, key, value))
            while len(self._order) > self.most:
                oldest, key, value = self._order.popleft()
                if oldest.entries.get(key) is value:  # else it was forgotten, and maybe read again since
                    oldest.drop(key)

    def answered(self, shelf: Shelf, args: tuple[Any, ...], value: Any, answer: Any) -> None:
        """Keep what was made of a value, while that is kept itself."""
        with self._lock:
            if all(map(_is_plain, args)) and shelf.entries.get(args, NOTHING) is value:
                shelf.answers[args[0] if len(args) == 1 else args] = answer

    def committed(self, tenant_id: UUID | None, announced: Sequence[tuple[str, int]], *, surely: bool) -> None:
        """Forget what this process itself has changed, before whoever did so gets his answer."""
        with self._lock:
            if tenant_id is None:
                self._forget_all()
                return
            for topic, version in announced:
                subject = self._subjects.get((tenant_id, topic))
                if subject is not None:
                    self._forget(subject)
                    if surely:  # else another change may get the same number
                        subject.own = version

    def hear(self, notice: str) -> None:
        """Take a notice, ``scope:version``; of what nobody asks for here it says nothing."""
        scope, _, version = notice.rpartition(":")
        with self._lock:
            if scope == EVERYTHING:
                self._forget_all()
                return
            subject = self._by_scope.get(scope)
            if subject is not None and str(subject.own) != version:
                self._forget(subject)

    def overtaken(self, subject: Subject, items: Sequence[Any]) -> None:
        """Forget what is older than the items that a feed has read: changes that may not have been heard of yet."""
        if items:
            with self._lock:
                self._clear(subject)

    def regain(self) -> None:
        """Begin to keep answers: from now on every change is heard of, and before nobody knows."""
        with self._lock:
            self._forget_all(names=True)
            self.alive = not self.closed

    def lose(self) -> None:
        """Keep nothing any more: changes may go unheard."""
        with self._lock:
            self.alive = False
            self._forget_all(names=True)

    def close(self) -> None:
        """Forget all, and send those home who wait."""
        with self._lock:
            self.closed = True
            self.lose()

    def _forget_all(self, *, names: bool = False) -> None:
        for subject in list(self._subjects.values()):
            self._forget(subject)
            subject.own = None  # a tenant that was restored may count anew
            if names:  # the database may be another one when it answers again
                subject.scope = None
        self._order.clear()
        if names:
            self._by_scope.clear()

    def _forget(self, subject: Subject) -> None:
        self._clear(subject)
        for wake in list(subject.waiters):
            wake()

    @staticmethod
    def _clear(subject: Subject) -> None:
        subject.generation += 1
        for shelf in list(subject.shelves):
            shelf.clear()

    def forked(self) -> None:
        """Begin anew in a child process: its listener stayed behind, perhaps with the lock in its hand."""
        self._lock = threading.RLock()
        self.lose()


_all: WeakSet[Memory] = WeakSet()


def _forked() -> None:
    for memory in list(_all):
        memory.forked()


os.register_at_fork(after_in_child=_forked)


def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable | None:
    """Return what an answer is kept under, for plain arguments they themselves; None where none does."""
    if not kwargs and all(map(_is_plain, args)):
        return args
    values = (*args, *kwargs.values())
    if any(isinstance(value, tuple | frozenset) and not _is_plain(value) for value in values):
        return None
    key = args, *kwargs.items(), *map(type, values)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind in {tuple, frozenset} and all(map(_is_plain, value)))
