"""What a nested file holds, with lines, and what is wrong with a file."""

from typing import Any


class Fault(Exception):
    """Why a file cannot be read, and the line; never with a value in it."""

    def __init__(self, message: str, line: int | None = None, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint


class Block(dict[str, tuple[int, Any]]):
    """Names with the line that each stands on, and its value: another block, a list of values, or a scalar."""

    def add(self, name: str, line: int, value: Any) -> None:
        """Add a name; raises Fault where it is there already."""
        if name in self:
            raise Fault(f"{name!r} is there twice, first on line {self[name][0]}", line)
        self[name] = line, value


def plain(value: Any) -> Any:
    """Return a value without lines, as JSON has it."""
    if isinstance(value, Block):
        return {name: plain(below) for name, (_, below) in value.items()}
    return [plain(element) for element in value] if isinstance(value, list) else value
