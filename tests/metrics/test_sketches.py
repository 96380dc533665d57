"""Sketches: a percentile within 1 %, and merged as if all values had been counted together."""

import math

from hypothesis import given, strategies as st

from undercroft.metrics import rules
from undercroft.metrics.rules import ACCURACY, TINY, Sketch

VALUES = st.lists(st.floats(-1e12, 1e12) | st.integers(-1000, 1000).map(float), min_size=1, max_size=60)
SHARES = st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0])


def sketch_of(values):
    made = Sketch()
    for value in values:
        made.add(value)
    return made


def is_off(values, share):
    rank = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    return abs(sketch_of(values).quantile(share) - rank) > ACCURACY * abs(rank) * (1 + 1e-9) + TINY


@given(VALUES, SHARES)
def test_a_quantile_is_within_one_percent_of_the_nearest_rank(values, share):
    assert not is_off(values, share)


def test_control_coarser_classes_are_caught(monkeypatch):
    monkeypatch.setattr(rules, "_LOG_GROWTH", 2 * rules._LOG_GROWTH)
    assert any(is_off([float(value)], 0.5) for value in range(1, 1000))


@given(VALUES, VALUES)
def test_merged_it_is_that_of_all_values(one, other):
    merged = sketch_of(one)
    merged.merge(sketch_of(other))
    assert merged == sketch_of(other + one)


@given(VALUES)
def test_it_comes_back_from_json_as_it_was(values):
    assert Sketch.from_json(sketch_of(values).to_json()) == sketch_of(values)
