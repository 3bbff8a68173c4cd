"""A private PostgreSQL server with a streaming standby."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.postgresql import PostgreSQL

if TYPE_CHECKING:
    from typing_extensions import Self

PRIMARY = {"synchronous_commit": "on"}  # else a commit would be sent up to 0.6 seconds later


class Standby(PostgreSQL):
    """A standby, with its primary, which it starts and stops."""

    name = "standby"

    def __init__(self) -> None:
        super().__init__()
        self.primary = PostgreSQL(settings=PRIMARY)

    def start(self) -> Self:
        """Start a new primary, and the standby as its copy."""
        self.primary.start()
        try:
            return super().start()
        except BaseException:
            self.primary.stop()
            raise

    def stop(self) -> None:
        """Stop both and remove their directories; a second call does nothing."""
        super().stop()
        self.primary.stop()

    def promote(self) -> None:
        """Make it a primary of its own."""
        self._run([str(self._binaries / "pg_ctl"), "promote", "--wait", f"--pgdata={self.data}"])

    def _prepare(self) -> None:
        self._binaries = self._find()
        where = ["--host=127.0.0.1", f"--port={self.primary.port}", "--username=postgres"]
        how = ["--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync"]
        self._run([str(self._binaries / "pg_basebackup"), f"--pgdata={self.data}", *where, *how])
