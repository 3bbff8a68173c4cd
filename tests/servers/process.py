"""A private server process: its own directories, its own port, and nothing left when it is stopped.

What differs between servers (where the binaries are, how a data directory is made, how the server is called)
is in the subclasses in postgresql.py, mariadb.py, galera.py and pgbouncer.py.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE = 60.0  # seconds; only a machine in trouble needs more than one
GUARDIAN = Path(__file__).with_name("guardian.py")
MEMORY = Path("/dev/shm")
ROOM = 2**30


class Server(ABC):
    """A private server on 127.0.0.1, as a context manager or with start() and stop().

    It is fast and may lose commits when it is killed; `durable=True` gives the settings of a real
    installation. `settings` are added to the command line. A server that cannot be found or started is a
    RuntimeError that says what to do. Process and directories go with the test process, even when that is
    killed.
    """

    name: ClassVar[str]
    fast: ClassVar[Mapping[str, str]]
    stop_signal: ClassVar[signal.Signals]

    directory: Path
    data: Path
    port: int

    def __init__(self, *, durable: bool = False, settings: Mapping[str, str] | None = None) -> None:
        self.durable = durable
        self.settings = {**({} if durable else self.fast), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._guardian: _Guardian | None = None
        self._log_start = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """The SQLAlchemy URL of an existing database, for a user who may do everything."""

    @abstractmethod
    def _prepare(self) -> None:
        """Find the binaries and fill the data directory."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server that was started last accepts connections."""

    def start(self) -> Self:
        """Start a new server with an empty data directory and return it when it accepts connections."""
        if self._guardian:
            raise RuntimeError(f"this {self.name} server is running already; restart() keeps its data")
        self.directory, self.data = _new_directory(self.name, self.durable)
        self._guardian = _Guardian(self.directory, self.data.parent)
        try:
            self._prepare()
            self._launch_on_a_free_port()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server and remove its directories; a second call does nothing."""
        if self._guardian:
            self._shut_down()
            self._guardian.release()
            self._guardian = None

    def kill(self) -> None:
        """SIGKILL the server and all its children, as a crash does; restart() brings it back."""
        if not self._process:
            return
        # Stopped first: a server that sees its children die would begin to tidy up. Killing the process group
        # is not enough: every PostgreSQL backend has a group of its own, lives on for a moment and would
        # keep the next server from starting.
        self._process.send_signal(signal.SIGSTOP)
        children = _children(self._process.pid)
        for process in (self._process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._reaped()
        _wait(lambda: not children & set(_parents()))

    def restart(self) -> None:
        """Start the server again, on the same data and port, after kill() or instead of the running one."""
        self._shut_down()
        if not self._launch():
            raise self._failure()

    def log_text(self) -> str:
        """Return what the server has written to its log since start()."""
        return (self.directory / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, command: list[str], text: str = "") -> None:
        """Run one of the server's own tools to its end, as the server's user."""
        assert self._guardian
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, **{**self._surroundings(), **streams})
        self._guardian.watch(process.pid)
        output, _ = process.communicate(text.encode())
        self._guardian.watch(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}\nfailed: {output.decode(errors='replace')[-3000:]}")

    def _surroundings(self) -> dict[str, Any]:
        """Popen() arguments: no variable that configures the server, no terminal, and not as root."""
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PG", "MYSQL", "MARIADB"))
        }
        return {
            "cwd": "/",
            "env": {**environment, "LC_ALL": "C", "HOME": str(self.directory)},
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
            **_unprivileged(),
        }

    def _launch_on_a_free_port(self) -> None:
        for _ in range(10):
            (self.directory / "log").write_bytes(b"")
            self.port = free_port()
            if self._launch():
                return
            if "Address already in use" not in self.log_text():
                break
        raise self._failure()

    def _launch(self) -> bool:
        """Start the process; False if it ends, or is not ready in time."""
        assert self._guardian
        self._log_start = len(self.log_text())
        with (self.directory / "log").open("ab") as log:
            streams = {"stdout": log, "stderr": subprocess.STDOUT}
            self._process = subprocess.Popen(self._command(), **{**self._surroundings(), **streams})
        self._guardian.watch(self._process.pid)
        process = self._process
        _wait(lambda: process.poll() is not None or self._is_ready())
        if process.poll() is not None:
            self._reaped()
            return False
        return self._is_ready()

    def _shut_down(self) -> None:
        if self._process:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
            else:
                self._reaped()

    def _reaped(self) -> None:
        """Forget the process, whose id may now be given to another."""
        assert self._process
        assert self._guardian
        self._process.wait()
        self._guardian.watch(0)
        self._process = None

    def _failure(self) -> RuntimeError:
        return RuntimeError(f"{self.name} does not start; the end of its log:\n{self.log_text()[-3000:]}")


class _Guardian:
    """The process that cleans up: see guardian.py."""

    def __init__(self, *directories: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARDIAN), *map(str, dict.fromkeys(directories))],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, process: int) -> None:
        """Name the process to end with us; 0 for none."""
        assert self._process.stdin
        self._process.stdin.write(f"{process}\n".encode())

    def release(self) -> None:
        """Have everything cleaned up now."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def _new_directory(name: str, durable: bool) -> tuple[Path, Path]:
    """Make a directory, and return it with the place of the data; both belong to the server's user."""
    owner = _owner()
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_temporary()))
    home = directory
    # The 300 files of a new PostgreSQL database cost 15 ms in memory, and up to 300 ms on a disk.
    if not durable and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=MEMORY))
    data = home / "data"
    data.mkdir(mode=0o700)
    for path in (directory, home, data):
        os.chown(path, *owner)
    return directory, data


def _temporary() -> str:
    """A directory that every account can enter, with a short name: a socket's path has 107 bytes at most."""
    usual = tempfile.gettempdir()
    return usual if os.geteuid() and len(usual) < 60 else "/tmp"


def _unprivileged() -> dict[str, Any]:
    """Popen() arguments that give up root, as which no database server runs; nothing for anyone else."""
    if os.geteuid():
        return {}
    user, group = _owner()
    return {"user": user, "group": group, "extra_groups": []}


def _owner() -> tuple[int, int]:
    """The user and group a server runs as."""
    if os.geteuid():
        return os.geteuid(), os.getegid()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise RuntimeError("no database server runs as root, and there is no account `nobody`") from None
    return nobody.pw_uid, nobody.pw_gid


def free_port() -> int:
    """A port nobody listens on now.

    Below those the system gives to outgoing connections: one of these could take it while the server is down,
    and a client that tries to reconnect could even reach itself.
    """
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as attempt, contextlib.suppress(OSError):
            attempt.bind(("127.0.0.1", port))
            return port


def _wait(condition: Callable[[], bool]) -> None:
    """Return when the condition holds, or when patience is at an end."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def _children(process: int) -> set[int]:
    return {child for child, parent in _parents().items() if parent == process}


def _parents() -> dict[int, int]:
    """The parent of every process of this machine that is not a zombie."""
    return {int(process): int(parent) for process, state, parent in _processes() if state[0] not in "ZX"}


def _processes() -> Iterator[list[str]]:
    """Yield id, state and parent of every process."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,stat=,ppid="], stdout=subprocess.PIPE, check=True)
        yield from map(str.split, listing.stdout.decode().splitlines())
        return
    for stat in Path("/proc").glob("[0-9]*/stat"):  # not ps: small containers have none
        with contextlib.suppress(OSError):
            before, after = stat.read_text(errors="replace").rsplit(")", 1)
            yield [before.split()[0], *after.split()[:2]]
