"""The root of every error: one line for people, a code for programs."""

from typing import ClassVar


class UndercroftError(Exception):
    """Undercroft could not do what was asked.

    `str()` is one line: what is wrong, then the fix. Keyword arguments beside `hint` are kept in `context`; name there
    what the error is about (a setting, a tenant, a constraint), never a secret and never the value of a row.
    """

    code: ClassVar[str] = "undercroft"
    retryable: ClassVar[bool] = False
    """Repeating the whole transaction is safe and may succeed, provided its COMMIT was never sent."""
    shown: ClassVar[tuple[str, ...]] = ()
    """The names in `context` that `str()` shows."""
    hint: str = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None, **context: object) -> None:
        self.message = _one_line(message if message is not None else default_message(type(self)))
        super().__init__(self.message)
        if hint is not None:
            self.hint = _one_line(hint)
        self.context = {name: value for name, value in context.items() if value is not None}

    def __str__(self) -> str:
        about = ", ".join(f"{name} {_one_line(str(self.context[name]))}" for name in self.shown if name in self.context)
        said = self.message.removesuffix(".") + (f" ({about})" if about else "")
        return f"{said}: {self.hint}" if self.hint else said


def default_message(error: type[UndercroftError]) -> str:
    """Return the first line of the class's docstring (its code where Python runs with -OO and has no docstrings)."""
    return (error.__doc__ or error.code).partition("\n")[0]


def _one_line(text: str) -> str:
    """Replace what would break a log line, drive a terminal or fail to print: control characters, lone surrogates."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
