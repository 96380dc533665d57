"""Says what is wrong with settings in one line, without their values."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from undercroft.errors import ConfigurationError
from undercroft.settings.environment import Found

_MUST: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_parsing": lambda _: "be true or false",
    "bool_type": lambda _: "be true or false",
    "float_parsing": lambda _: "be a number",
    "float_type": lambda _: "be a number",
    "finite_number": lambda _: "be a number",
    "greater_than": lambda limit: f"be above {limit['gt']}",
    "greater_than_equal": lambda limit: f"be at least {limit['ge']}",
    "int_from_float": lambda _: "be a whole number",
    "int_parsing": lambda _: "be a whole number",
    "int_parsing_size": lambda _: "be a smaller number",
    "int_type": lambda _: "be a whole number",
    "less_than_equal": lambda limit: f"be at most {limit['le']}",
    "literal_error": lambda known: f"be {known['expected']}",
    "string_type": lambda _: "be text",
    "too_short": lambda limit: f"be at least {limit['min_length']} characters long",
}


def refusal(error: ValidationError, found: Mapping[str, Found]) -> ConfigurationError:
    """Make one error out of pydantic's, which hold the values; its `setting` is the first that is wrong."""
    said: list[str] = []
    names: list[str] = []
    for wrong in error.errors(include_input=False, include_url=False):
        name = str(wrong["loc"][0])
        origin = found[name].origin if name in found else name
        must = _MUST[wrong["type"]](wrong.get("ctx", {})) if wrong["type"] in _MUST else "have another form"
        said.append(f"{name} must {must}" if origin == name else f"{name} (from {origin}) must {must}")
        names.append(name)
    return ConfigurationError("; ".join(said), setting=names[0])


def name_origin(error: ConfigurationError, found: Mapping[str, Found]) -> None:
    """Add to an error by which name its setting was given, where that is another than its own."""
    given = found.get(error.setting or "")
    if given is not None and given.origin != error.setting:
        error.context["from"] = given.origin
