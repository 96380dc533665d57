"""The chain's rules: whatever is done to a trail is found, where it begins, and nothing is found where nothing was."""

import inspect
import random
import sys
import types
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.audit import tampering
from tests.audit.tampering import IN_THE_CHAIN, Trail
from undercroft.audit import chain as chain_module
from undercroft.audit.rules import NO_HASH, chained, event_hash, link_hash
from undercroft.core import ids

TENANT = ids.named("tenant", "slack", "T1")


def verified(trail: Trail, kept: dict[int, bytes] | None = None, *, page: int = 7, module: Any = chain_module) -> Any:
    """The damage that a verification in pages finds."""
    chain = module.Chain(trail.tenant, (0, NO_HASH), kept or {})
    entries = trail.entries()
    for start in range(0, len(entries), page):
        if not chain.feed(entries[start : start + page]):
            break
    return chain.finish()


@pytest.mark.parametrize("tamper", IN_THE_CHAIN, ids=tampering.names(IN_THE_CHAIN))
def test_a_thousand_tamperings_are_all_found_where_they_are(tamper):
    rng = random.Random(tamper.__name__)
    for _ in range(70):  # of each of 15
        trail = tampering.made(rng.randrange(2, 24))
        kept = {trail.links[-1].sequence: trail.links[-1].hash}
        assert verified(trail, dict(kept)) is None
        finding = tamper(rng, trail)
        damage = verified(trail, kept, page=1000)
        if tamper is tampering.put_back:
            assert damage is not None
            assert damage.kind in finding.kinds
        else:
            assert finding.is_met_by(damage), (finding, damage)


@pytest.mark.parametrize("tamper", IN_THE_CHAIN, ids=tampering.names(IN_THE_CHAIN))
def test_damage_is_found_at_the_edge_of_a_page_too(tamper):
    rng = random.Random(tamper.__name__)
    for page in (1, 2, 3):
        for _ in range(10):
            trail = tampering.made(9)
            kept = {9: trail.links[-1].hash}
            tamper(rng, trail)
            assert verified(trail, kept, page=page) is not None


def test_more_checkpoints_narrow_down_where_a_rewritten_tail_begins():
    trail = tampering.made(40)
    kept = {n: trail.links[n - 1].hash for n in (10, 20, 30, 40)}
    trail.events[trail.links[24].event_id] = {**tampering.new_row(trail.tenant, 1), "id": trail.links[24].event_id}
    trail.relinked(25)
    damage = verified(trail, kept)
    assert (damage.kind, damage.sequence, damage.until) == ("rewritten", 21, 30)


CONDITIONS = {
    "sequence != expected": (tampering.leave_a_gap,),
    "previous != last": (tampering.reorder_with_new_hashes,),
    "or event is None": (tampering.delete_event,),
    "sha256(event_domain + event).digest() != hashed": (tampering.edit_event,),
    "sha256(head + sequence.to_bytes(8) + event_id + hashed + previous).digest() != hash_": (tampering.edit_link,),
    "kept.pop(sequence) != hash_": (tampering.rewrite_the_tail,),
}


@pytest.mark.parametrize("condition", CONDITIONS, ids=["sequence", "previous", "event", "bytes", "link", "checkpoint"])
def test_without_any_one_of_its_checks_something_would_be_missed(condition):
    source = inspect.getsource(chain_module)
    assert source.count(condition) == 1
    weaker = types.ModuleType("weaker")
    sys.modules["weaker"] = weaker
    replacement = (
        "or False" if condition.startswith("or ") else "kept.pop(sequence) == 0" if "kept" in condition else "False"
    )
    exec(source.replace(condition, replacement), weaker.__dict__)
    missed = False
    rng = random.Random(condition)
    for tamper in CONDITIONS[condition]:
        for _ in range(20):
            trail = tampering.made(12)
            kept = {12: trail.links[-1].hash}
            finding = tamper(rng, trail)
            try:
                missed |= not finding.is_met_by(verified(trail, kept, module=weaker))
            except TypeError:  # a missing event cannot be hashed
                missed = True
    assert missed


@given(st.integers(0, 30), st.integers(1, 11))
def test_nothing_is_found_where_nothing_was_done(length, page):
    trail = tampering.made(length)
    kept = {link.sequence: link.hash for link in trail.links}
    assert verified(trail, kept, page=page) is None


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(0, 20))
def test_a_chain_may_be_continued_anywhere(events, cut):
    told = [(ids.new(), event_hash(event)) for event in events]
    whole = chained(TENANT, (0, NO_HASH), told)
    first = chained(TENANT, (0, NO_HASH), told[:cut])
    end = (first[-1].sequence, first[-1].hash) if first else (0, NO_HASH)
    assert first + chained(TENANT, end, told[cut:]) == whole
    assert [link.sequence for link in whole] == list(range(1, len(events) + 1))


def test_the_bytes_of_a_link_are_frozen():
    linked = link_hash(TENANT.bytes, 7, TENANT.bytes, event_hash(b"{}"), NO_HASH)
    assert linked.hex() == LINKED


LINKED = "6d84c2c898dcf075439905e6e2dd53504babf50bbfa91d035b8979010ea2f330"
