"""Upkeep: health, statistics and, later, everything that runs on a schedule."""
