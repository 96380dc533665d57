"""The arithmetic, against a model that counts with fractions; and SQL against the arithmetic."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given, settings, strategies as st

from undercroft import Store
from undercroft.core import server_time
from undercroft.limits import rules
from undercroft.limits.rules import Count

STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "refund"]), st.integers(1, 12), st.integers(-500, 4000)), max_size=40
)


@given(refill=st.integers(1, 50), burst=st.integers(1, 12), steps=STEPS)
def test_a_bucket_grants_what_a_naive_model_grants(refill, burst, steps):
    parts, now, latest = 1000, 1_000_000, 1_000_000
    count, level = Count(-parts, 0, 0, now, burst * parts, refill), Fraction(burst)
    for what, units, passed in steps:
        now += passed
        seen = max(now, latest)  # a clock that goes back changes nothing
        level = min(Fraction(burst), level + Fraction((seen - latest) * refill, parts))
        latest = seen
        if what == "refund":
            level = min(Fraction(burst), level + units)
            count = rules.refund(count, units, now)
        elif (taken := rules.take(count, units, now)) is None:
            assert level < units
            count = Count(count.period, 0, rules.drained(count, seen), seen, count.capacity, refill)
            refused = rules.decision("x", count, units, allowed=False)
            if units <= burst:  # and it is true: then it succeeds, and a millisecond before it does not
                wait = round(refused.retry_after * 1000)
                assert rules.take(count, units, seen + wait) is not None
                assert wait == 0 or rules.take(count, units, seen + wait - 1) is None
            else:
                assert refused.retry_at is None
        else:
            assert level >= units
            level -= units
            count = taken
        assert rules.remaining(count) == int(level)


@given(
    moment=st.datetimes(datetime(1970, 2, 1), datetime(2200, 1, 1)).map(lambda value: value.replace(tzinfo=UTC)),  # noqa: DTZ001 - hypothesis wants them naive
    per=st.sampled_from(["minute", "hour", "day", "month"]),
)
def test_periods_follow_each_other_without_a_gap(moment, per):
    now = int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
    begins, ends = rules.started("period", per, now)
    assert begins <= now < ends
    assert rules.started("period", per, ends)[0] == ends
    assert rules.started("period", per, begins) == (begins, ends)


@settings(max_examples=25)
@given(refill=st.integers(1, 50), burst=st.integers(1, 12), steps=STEPS)
def test_sql_decides_as_the_rules_do(tmp_path_factory, refill, burst, steps):
    clock = {"now": 1_000_000_000_000}
    with Store(f"sqlite:///{tmp_path_factory.getbasetemp() / 'rules.db'}") as store:
        tenant = store.default
        tenant.limits.define("x", refill, per="second", kind="bucket", burst=burst)
        tenant.limits.refund("x")  # so that all statements are compiled, which `_set` changes
        tenant.limits.try_consume("x")
        tenant.limits.reset("x")
        count = Count(-1000, 0, 0, 0, burst * 1000, refill)  # of no moment: the first step makes the counter
        for what, units, passed in steps:
            clock["now"] += passed
            _set(store, clock["now"])
            if what == "refund":
                told = tenant.limits.refund("x", units=units)
                count = rules.refund(count, units, clock["now"])
            else:
                told = tenant.limits.try_consume("x", units=units)
                taken = rules.take(count, units, clock["now"])
                assert told.allowed is (taken is not None)
                count = taken or count
            seen = Count(-1000, 0, rules.drained(count, max(count.at, clock["now"])), 0, count.capacity, refill)
            assert told.remaining == rules.remaining(seen)


def _set(store: Store, now: int) -> None:
    """Put the database's clock to a moment: the text that asks for it is replaced in what was compiled."""
    dialect = store._engine._file.dialect
    text = server_time._millis_of_strftime()
    for _, prepared in dialect._prepared.values():
        original = _originals.setdefault(id(prepared), (prepared, prepared.sql))[1]
        prepared.sql = original.replace(text, str(now))


_originals: dict[int, tuple[object, str]] = {}
