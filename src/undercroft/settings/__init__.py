"""Settings: read once at the start, refused there if wrong, and never shown with their secrets.

`python -m undercroft.settings` prints a .env file with every setting in it.
"""

from undercroft.settings.model import Settings

__all__ = ["Settings"]
