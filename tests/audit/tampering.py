"""What somebody with all rights may do to a trail, as changes of its rows; each tells where it must be found."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from undercroft.audit.rules import NO_HASH, Link, chained, event_bytes, event_hash, link_hash
from undercroft.core import ids
from undercroft.core.clock import utc_now


@dataclass
class Trail:
    """The rows of one tenant: links by their sequence, and events with all their columns by their id."""

    tenant: UUID
    links: list[Link] = field(default_factory=list)
    events: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def entries(self) -> list[tuple[int, bytes, bytes, bytes, bytes, bytes | None]]:
        """What a verification reads of it."""
        return [
            (
                *(link.sequence, link.event_id.bytes, link.event_hash, link.previous, link.hash),
                self.events[link.event_id]["canonical"] if link.event_id in self.events else None,
            )
            for link in sorted(self.links, key=lambda link: link.sequence)
        ]

    def copy(self) -> "Trail":
        return Trail(self.tenant, list(self.links), {key: dict(row) for key, row in self.events.items()})

    def relinked(self, first: int) -> None:
        """Compute everything anew from a sequence on, as the library would."""
        kept = self.links[: first - 1]
        end = (kept[-1].sequence, kept[-1].hash) if kept else (0, NO_HASH)
        told = [(link.event_id, self.events[link.event_id]["event_hash"]) for link in self.links[first - 1 :]]
        self.links = kept + chained(self.tenant, end, told)


@dataclass(frozen=True)
class Finding:
    """How damage must be reported; ``between`` are the sequences among which the first bad one is known to be."""

    kinds: set[str]
    sequence: int | None
    between: tuple[int, int] | None = None

    def is_met_by(self, damage: Any) -> bool:
        if damage is None or damage.kind not in self.kinds:
            return False
        if self.between is not None:
            return damage.sequence <= self.between[0] and self.between[1] <= damage.until
        return bool(damage.sequence == self.sequence)


Tampering = Callable[[random.Random, Trail], Finding]


def new_row(tenant: UUID, n: int) -> dict[str, Any]:
    told = {
        "event_type": "query.run",
        "category": "query",
        "action": "run",
        "status": "success",
        "description": "",
        "actor": f"U{n}",
        "resource_type": None,
        "resource_id": None,
        "ip": None,
        "user_agent": None,
        "data": {"n": n},
    }
    at = utc_now() + timedelta(milliseconds=n)
    written = event_bytes(tenant, id_ := ids.new(at), at, told)
    return {"id": id_, "occurred_at": at, "canonical": written, "event_hash": event_hash(written), **told}


def made(length: int, tenant: UUID | None = None) -> Trail:
    """A trail that is right."""
    trail = Trail(tenant or ids.new())
    for n in range(length):
        row = new_row(trail.tenant, n)
        trail.events[row["id"]] = row
    linked = [(id_, row["event_hash"]) for id_, row in trail.events.items()]
    trail.links = chained(trail.tenant, (0, NO_HASH), linked)
    return trail


def _flipped(rng: random.Random, value: bytes) -> bytes:
    place = rng.randrange(len(value))
    return value[:place] + bytes([value[place] ^ (1 << rng.randrange(8))]) + value[place + 1 :]


def _chosen(rng: random.Random, trail: Trail) -> tuple[int, Link]:
    place = rng.randrange(len(trail.links))
    return place, trail.links[place]


def edit_bytes(rng: random.Random, trail: Trail) -> Finding:
    _, link = _chosen(rng, trail)
    row = trail.events[link.event_id]
    row["canonical"] = _flipped(rng, row["canonical"])
    return Finding({"edited"}, link.sequence)


def edit_event(rng: random.Random, trail: Trail) -> Finding:
    """Everything of the event agrees with itself; only the link knows better."""
    _, link = _chosen(rng, trail)
    row = trail.events[link.event_id]
    told = {**orjson.loads(row["canonical"]), "actor": "U-innocent"}
    row |= {"actor": "U-innocent", "canonical": orjson.dumps(told, option=orjson.OPT_SORT_KEYS)}
    row["event_hash"] = event_hash(row["canonical"])
    return Finding({"edited"}, link.sequence)


def edit_link(rng: random.Random, trail: Trail) -> Finding:
    place, link = _chosen(rng, trail)
    name = rng.choice(["event_hash", "previous", "hash"])
    trail.links[place] = replace(link, **{name: _flipped(rng, getattr(link, name))})
    return Finding({"edited"}, link.sequence)


def edit_event_and_its_link(rng: random.Random, trail: Trail) -> Finding:
    """As above, the link computed anew; the next one knows better, or the checkpoint."""
    place, link = _chosen(rng, trail)
    edit = trail.events[link.event_id]
    told = {**orjson.loads(edit["canonical"]), "actor": "U-innocent"}
    edit |= {"actor": "U-innocent", "canonical": orjson.dumps(told, option=orjson.OPT_SORT_KEYS)}
    edit["event_hash"] = event_hash(edit["canonical"])
    hash_ = link_hash(trail.tenant.bytes, link.sequence, link.event_id.bytes, edit["event_hash"], link.previous)
    trail.links[place] = replace(link, event_hash=edit["event_hash"], hash=hash_)
    if place == len(trail.links) - 1:
        return Finding({"rewritten"}, None, (link.sequence, link.sequence))
    return Finding({"broken"}, link.sequence + 1)


def delete_event(rng: random.Random, trail: Trail) -> Finding:
    _, link = _chosen(rng, trail)
    del trail.events[link.event_id]
    return Finding({"deleted"}, link.sequence)


def delete_link(rng: random.Random, trail: Trail) -> Finding:
    place, link = _chosen(rng, trail)
    del trail.links[place]
    if rng.random() < 0.5:
        del trail.events[link.event_id]
    return Finding({"truncated" if place == len(trail.links) else "deleted"}, link.sequence)


def delete_and_close_the_gap(rng: random.Random, trail: Trail) -> Finding:
    place, link = _chosen(rng, trail)
    del trail.links[place]
    del trail.events[link.event_id]
    trail.links[place:] = [replace(other, sequence=other.sequence - 1) for other in trail.links[place:]]
    return Finding({"truncated"} if place == len(trail.links) else {"deleted"}, link.sequence)


def reorder(rng: random.Random, trail: Trail) -> Finding:
    one, other = sorted(rng.sample(range(len(trail.links)), 2))
    first, second = trail.links[one], trail.links[other]
    trail.links[one] = replace(second, sequence=first.sequence)
    trail.links[other] = replace(first, sequence=second.sequence)
    return Finding({"reordered"}, first.sequence)


def reorder_with_new_hashes(rng: random.Random, trail: Trail) -> Finding:
    """Each of the two is right in itself, and continues the wrong one."""
    one, other = sorted(rng.sample(range(len(trail.links)), 2))
    for place, link in ((one, trail.links[other]), (other, trail.links[one])):
        sequence = place + 1
        hash_ = link_hash(trail.tenant.bytes, sequence, link.event_id.bytes, link.event_hash, link.previous)
        trail.links[place] = replace(link, sequence=sequence, hash=hash_)
    return Finding({"broken"}, one + 1)


def swap_events(rng: random.Random, trail: Trail) -> Finding:
    one, other = (trail.links[place] for place in sorted(rng.sample(range(len(trail.links)), 2)))
    rows = trail.events
    first, second = rows[one.event_id], rows[other.event_id]
    rows[one.event_id] = {**second, "id": one.event_id}
    rows[other.event_id] = {**first, "id": other.event_id}
    return Finding({"reordered"}, one.sequence)


def insert_and_make_room(rng: random.Random, trail: Trail) -> Finding:
    place, link = _chosen(rng, trail)
    row = new_row(trail.tenant, 999)
    trail.events[row["id"]] = row
    previous = trail.links[place - 1].hash if place else NO_HASH
    [forged] = chained(trail.tenant, (link.sequence - 1, previous), [(row["id"], row["event_hash"])])
    moved = [replace(other, sequence=other.sequence + 1) for other in trail.links[place:]]
    trail.links[place:] = [forged, *moved]
    if len(moved) == 1:  # where the checkpoint saw another one
        return Finding({"rewritten"}, None, (link.sequence, link.sequence))
    return Finding({"inserted"}, link.sequence)


def cut_off(rng: random.Random, trail: Trail) -> Finding:
    place = rng.randrange(1, len(trail.links))
    for link in trail.links[place:]:
        del trail.events[link.event_id]
    del trail.links[place:]
    return Finding({"truncated"}, place + 1)


def rewrite_the_tail(rng: random.Random, trail: Trail) -> Finding:
    """Every hash from one event on is computed anew: the chain is right, and another one."""
    place, link = _chosen(rng, trail)
    edit_event(random.Random(0), Trail(trail.tenant, [link], trail.events))
    trail.relinked(place + 1)
    return Finding({"rewritten"}, None, (link.sequence, link.sequence))


def leave_a_gap(rng: random.Random, trail: Trail) -> Finding:
    """A sequence is left out, and every hash behind it computed anew."""
    place, link = _chosen(rng, trail)
    end = (link.sequence, trail.links[place - 1].hash if place else NO_HASH)
    told = [(one.event_id, one.event_hash) for one in trail.links[place:]]
    trail.links[place:] = chained(trail.tenant, end, told)
    return Finding({"deleted"}, link.sequence)


def put_back(rng: random.Random, trail: Trail) -> Finding:
    """An old backup, and life went on after it."""
    cut = cut_off(rng, trail)
    assert cut.sequence is not None
    for n in range(rng.randrange(1, 40)):
        row = new_row(trail.tenant, 5000 + n)
        trail.events[row["id"]] = row
        end = (trail.links[-1].sequence, trail.links[-1].hash)
        trail.links += chained(trail.tenant, end, [(row["id"], row["event_hash"])])
    return Finding({"rewritten", "truncated"}, None, (-1, -1))


IN_THE_CHAIN: tuple[Tampering, ...] = (
    *(edit_bytes, edit_event, edit_link, edit_event_and_its_link, delete_event, delete_link, delete_and_close_the_gap),
    *(
        reorder,
        reorder_with_new_hashes,
        swap_events,
        insert_and_make_room,
        leave_a_gap,
        cut_off,
        rewrite_the_tail,
        put_back,
    ),
)


def edit_column(rng: random.Random, trail: Trail) -> Finding:
    """What people read, and not what was hashed."""
    _, link = _chosen(rng, trail)
    row = trail.events[link.event_id]
    name = rng.choice(["actor", "status", "data", "occurred_at", "description", "ip", "event_hash"])
    row[name] = {
        "actor": "U-innocent",
        "status": "denied",
        "data": {"n": -1},
        "occurred_at": row["occurred_at"] + timedelta(seconds=1),
        "description": "nothing",
        "ip": "192.0.2.1",
        "event_hash": bytes(32),
    }[name]
    return Finding({"edited"}, link.sequence)


def insert_without_a_link(rng: random.Random, trail: Trail) -> Finding:
    row = new_row(trail.tenant, rng.randrange(1000))
    trail.events[row["id"]] = row
    return Finding({"inserted"}, None)


def link_twice(rng: random.Random, trail: Trail) -> Finding:
    """The same event at the end once more, as whoever may append can do."""
    _, link = _chosen(rng, trail)
    end = (trail.links[-1].sequence, trail.links[-1].hash)
    trail.links += chained(trail.tenant, end, [(link.event_id, link.event_hash)])
    return Finding({"inserted"}, trail.links[-1].sequence)


IN_THE_DATABASE: tuple[Tampering, ...] = (*IN_THE_CHAIN, edit_column, insert_without_a_link, link_twice)


def names(tamperings: Iterable[Tampering]) -> list[str]:
    return [tampering.__name__ for tampering in tamperings]
