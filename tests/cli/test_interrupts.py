"""Ctrl-C at a moment at which Python itself would lose it."""

import subprocess
import sys

import pytest

GUARD = "from undercroft.cli.interrupts import keep_interrupts; keep_interrupts()"
LOST = """
import signal, time, weakref
{guard}
class Dropped: pass
dropped = Dropped()
watched = weakref.ref(dropped, lambda _: signal.raise_signal(signal.SIGINT))
try:
    del dropped
    time.sleep({seconds})
    print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize(
    ("guard", "seconds", "said"),
    [
        pytest.param(
            "from undercroft.cli.interrupts import keep_interrupts; keep_interrupts()", 60, "stopped", id="ours"
        ),
        pytest.param("", 0.1, "went on", id="control"),
    ],
)
def test_ctrl_c_that_comes_during_a_collection_is_not_lost(guard: str, seconds: float, said: str):
    code = LOST.format(guard=guard, seconds=seconds)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == said


def test_other_errors_that_python_ignores_are_still_told():
    code = f"{GUARD}\nclass Bad:\n    def __del__(self): raise ValueError('told')\nBad()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "ValueError: told" in run.stderr
