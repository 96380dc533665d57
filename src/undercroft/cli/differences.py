"""How two versions of a configuration differ, as a person reads it and as a program does."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from undercroft import ConfigDiff
from undercroft.cli.cells import harmless

HIDDEN = "•••"
"""What stands for a sensitive value."""
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@dataclass(frozen=True, slots=True)
class Differences:
    """How two versions differ: a sign, a place and both values; long texts line by line."""

    found: ConfigDiff

    def rich(self) -> RenderableType:
        """Return it for a person."""
        head = Text(f"  {self.found.key}  version {self.found.old} → {self.found.new}", style="bold")
        lines = [part for one in self.found.differences for part in self._of(one)]
        return Group(head, *(lines or [Text("  no difference", style="dim")]))

    def lines(self) -> Iterable[Sequence[Any]]:
        """Return it for a program."""
        for one in self.found.differences:
            yield one.kind, one.path, *(self._side(one, side) for side in ("old", "new"))

    def _of(self, one: Any) -> Iterable[Text]:
        sign, style = _SIGNS[one.kind]
        place = "value" if one.path == "$" else one.path.removeprefix("$.").removeprefix("$")
        old, new = self._side(one, "old"), self._side(one, "new")
        if one.kind == "changed" and isinstance(one.old, str) and isinstance(one.new, str) and "\n" in old + new:
            yield Text(f"  {sign} {place}", style=style)
            for line in list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1))[2:]:
                yield Text(f"      {harmless(line)}", style={"+": "green", "-": "red"}.get(line[:1], "dim"))
            return
        text = Text.assemble((f"  {sign} {place}  ", style))
        told = [(harmless(side), colour) for side, colour in ((old, "red"), (new, "green")) if side]
        for number, part in enumerate(told):
            text.append(" → " if number else "").append(*part)
        yield text

    def _side(self, one: Any, side: str) -> str:
        if one.kind == ("added" if side == "old" else "removed"):
            return ""
        if self.found.is_sensitive and one.path == "$":
            return HIDDEN
        value = getattr(one, side)
        return value if isinstance(value, str) and "\n" in value else json.dumps(value, ensure_ascii=False)


def written(value: Any) -> str:
    """Return a value as it is printed: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
