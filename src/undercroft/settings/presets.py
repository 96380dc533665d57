"""Defaults for a purpose, which whatever else is given goes before."""

from pydantic import Secret

from undercroft.settings.declaration import lower
from undercroft.settings.environment import Found, Rank

PRESETS: dict[str, dict[str, object]] = {
    "development": {},
    "testing": {"pool_size": 5, "max_overflow": 0, "pool_timeout": 5.0, "query_timeout": 30.0, "cache_ttl_seconds": 60},
    "production": {"pool_size": 20, "max_overflow": 10},
}


def with_preset(found: dict[str, Found]) -> dict[str, Found]:
    """Return what was found, over the defaults of the preset that it names."""
    name = str(lower(found["preset"].reveal())) if "preset" in found else ""
    preset = {key: Found(Secret(value), Rank.PRESET, f"preset {name}") for key, value in PRESETS.get(name, {}).items()}
    return preset | found
