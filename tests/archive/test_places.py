"""Where a message stands in SQLite's index."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given, strategies as st

from undercroft.core import ids
from undercroft.core.dialects.sqlite_search import docid

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
MESSAGES = st.builds(ids.message, st.uuids(), st.text("0123456789.", min_size=1), MOMENTS)


@given(st.lists(MESSAGES, unique=True))
def test_places_follow_the_order_of_ids(messages):
    assert sorted(messages) == sorted(messages, key=lambda id_: (docid(id_), id_))


@given(MESSAGES)
def test_a_place_is_a_row_number_and_begins_with_the_time(message):
    place = docid(message)
    assert 0 <= place < 1 << 63
    assert place >> 15 == message.int >> 80
    assert docid(ids.floor(ids.at(message))) <= place


def test_the_very_last_place():
    assert docid(UUID(int=(1 << 128) - 1)) == (1 << 63) - 1
