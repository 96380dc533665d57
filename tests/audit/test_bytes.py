"""The bytes of an event: written fast where its values are plain, and the very same as RFC 8785 has them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from undercroft.audit.rules import event_bytes, moment
from undercroft.core import ids
from undercroft.core.canonical import canonical
from undercroft.errors import InvalidInput

TENANT = ids.named("tenant", "slack", "T1")
ZONES = [UTC, timezone(timedelta(hours=-7, minutes=-30))]
TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
DATA = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False)
    ),
    max_size=4,
)


def slowly(id_: UUID, at: datetime, fields: dict[str, Any]) -> bytes:
    told = {name: value for name, value in fields.items() if value is not None}
    return canonical({**told, "format": 1, "tenant": str(TENANT), "id": str(id_), "occurred_at": moment(at)})


@given(
    at=st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001 - the zone is drawn beside
    zone=st.sampled_from(ZONES),
    whole=st.booleans(),
    actor=TEXTS,
    ip=TEXTS,
    data=DATA,
)
def test_the_fast_way_writes_what_the_slow_one_does(*, at, zone, whole, actor, ip, data):
    moment_ = at.replace(microsecond=0 if whole else at.microsecond, tzinfo=zone)
    fields = {"event_type": "a.b", "actor": actor, "ip": ip, "data": data}
    id_ = ids.new()
    assert event_bytes(TENANT, id_, moment_, fields) == slowly(id_, moment_, fields)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_cannot_be_stored_is_refused_by_its_place(text):
    with pytest.raises(InvalidInput) as refused:
        event_bytes(TENANT, ids.new(), datetime.now(UTC), {"event_type": text, "data": {}})
    assert refused.value.field == "$.event_type"


def test_no_document_has_a_line_break():
    """The lines of one text carry many of them."""
    written = event_bytes(TENANT, ids.new(), datetime.now(UTC), {"event_type": "a\nb\r\u2028", "data": {"\n": "\n"}})
    assert b"\n" not in written
