"""Ctrl-C that Python would lose: it drops a KeyboardInterrupt that comes while it collects garbage."""

import signal
import sys

_AGAIN = 0.01
"""Seconds until it is raised once more, when the collection is over."""


def keep_interrupts() -> None:
    """Raise every KeyboardInterrupt that Python could only ignore a moment later, in the main thread."""
    others = sys.unraisablehook

    def ignored(found: "sys.UnraisableHookArgs") -> None:
        if issubclass(found.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        else:
            others(found)

    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = ignored
