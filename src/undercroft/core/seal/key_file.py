"""The file that keys are kept in: its owner's alone, and replaced whole or not at all."""

import fcntl
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from undercroft.errors import AlreadyExists, ConfigurationError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """Return what changes whenever the file is replaced, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(path: Path) -> SecretStr | None:
    """Read the keys, None where there is no file.

    Raises:
        ConfigurationError: it cannot be read, or others than its owner can read or change it.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & OTHERS:
                raise ConfigurationError(
                    f"Others than its owner can read the key file {path}",
                    setting="keys_file",
                    hint=f"chmod 600 {path}, and change the keys if somebody may have read them",
                )
            return SecretStr(file.read().decode("ascii"))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or "it is no file"
    except UnicodeDecodeError:
        reason = "it is no text"  # the error holds the keys
    raise ConfigurationError(f"The key file {path} cannot be read: {reason}", setting="keys_file")


def create(path: Path, text: SecretStr) -> None:
    """Make the file, readable by its owner alone, while `changing` it.

    Raises:
        AlreadyExists: there is one, which is left as it is.
        ConfigurationError: the place cannot be written to.
    """
    written = _beside(path, text)
    try:
        os.link(written, path)  # fails where there is one, as a rename would not
    except FileExistsError:
        message = f"There is a key file {path}"
        raise AlreadyExists(message, hint="`undercroft keys rotate` changes the key") from None
    finally:
        written.unlink()
    _settle(path.parent)


def replace(path: Path, text: SecretStr) -> None:
    """Put other keys into the file's place, while `changing` it; a process that dies meanwhile leaves the old ones."""
    written = _beside(path, text)
    written.replace(path)
    _settle(path.parent)


@contextmanager
def changing(path: Path) -> Generator[None, None, None]:
    """Keep other processes from changing the file; its folder is locked, since the file itself is replaced.

    Raises:
        ConfigurationError: there is no such folder.
    """
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        reason = error.strerror
        raise ConfigurationError(f"The key file {path} cannot be written: {reason}", setting="keys_file") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _beside(path: Path, text: SecretStr) -> Path:
    new = path.with_name(f".{path.name}.new")
    try:
        with suppress(FileNotFoundError):
            new.unlink()  # of a process that died
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.get_secret_value().encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror
    else:
        return new
    raise ConfigurationError(f"The key file {path} cannot be written: {reason}", setting="keys_file")


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
