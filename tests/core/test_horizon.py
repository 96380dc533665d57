"""Up to which moment a replica misses nothing, decided from what the primary had written when."""

from undercroft.core.runtime.replica import Horizon


def test_nothing_is_known_before_the_replica_has_what_was_written():
    horizon = Horizon()
    assert horizon.reached(100) is None
    horizon.wrote(1.0, 50)
    assert horizon.reached(49) is None
    assert horizon.reached(50) == 1.0


def test_it_is_the_last_moment_whose_writing_is_replayed():
    horizon = Horizon()
    for moment, position in ((1.0, 10), (2.0, 20), (3.0, 30)):
        horizon.wrote(moment, position)
    assert horizon.reached(25) == 2.0
    assert horizon.reached(29) == 2.0
    assert horizon.reached(30) == 3.0


def test_a_primary_that_writes_nothing_moves_it_on():
    horizon = Horizon()
    for moment in (1.0, 2.0, 3.0):
        horizon.wrote(moment, 10)
    assert horizon.reached(10) == 3.0
    assert horizon.reached(9) is None


def test_a_replica_that_stands_still_stays_where_it_was():
    horizon = Horizon()
    horizon.wrote(1.0, 10)
    assert horizon.reached(10) == 1.0
    horizon.wrote(2.0, 20)
    assert horizon.reached(10) == 1.0


def test_a_log_that_is_suddenly_shorter_promises_nothing():
    horizon = Horizon()
    horizon.wrote(1.0, 100)
    horizon.wrote(2.0, 50)
    assert horizon.reached(60) is None
