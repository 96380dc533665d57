"""Sealing: what must not be read in the database is stored encrypted, under keys that are not in it.

`envelope` is the format, `ring` the keys, `key_file` and `providers` are where they come from, `keyring` is the ring of
a running store, and `columns` names the columns that hold sealed values. docs/sealing.md describes all of it.
"""

from undercroft.core.seal.columns import SealedColumn
from undercroft.core.seal.envelope import Hidden, hidden
from undercroft.core.seal.keyring import Keyring

__all__ = ["Hidden", "Keyring", "SealedColumn", "hidden"]
