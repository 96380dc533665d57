"""`.env` files: every value is text, and `${NAME}` stays as it is written."""

import io
from collections.abc import Iterator

from dotenv.parser import Binding, parse_stream

from undercroft.importers.env.tree import Fault


def parse(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield each key with its line and its value.

    Raises:
        Fault: a line that is no KEY=value, or a key that is there twice.
    """
    seen: dict[str, int] = {}
    for binding in parse_stream(io.StringIO(text, newline="")):
        line = _line(binding)
        if binding.error or (binding.key is not None and binding.value is None):
            raise Fault("it is no KEY=value, and no comment", line, hint="look for a quote that is not closed")
        if binding.key is None or binding.value is None:
            continue
        if binding.key in seen:
            raise Fault(
                f"{binding.key} is there twice, first on line {seen[binding.key]}",
                line,
                hint="keep the one that is meant; a program that reads the file takes the last",
            )
        seen[binding.key] = line
        yield binding.key, line, binding.value


def _line(binding: Binding) -> int:
    """Return the line of the binding itself: the parser counts the empty ones before it to it."""
    written = binding.original.string
    before = written[: len(written) - len(written.lstrip())]
    return binding.original.line + before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
