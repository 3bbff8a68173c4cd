"""Running a transaction again where that may help, and never where it might be stored already.

What decides is whether COMMIT was sent. Before that nothing is stored, whatever happens. After it the server's
refusal means that nothing is stored, and its silence means that nobody knows: then only what may be stored twice,
because the second time changes nothing, is run again.
"""

from __future__ import annotations

import enum
import logging
import random
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError

from agno_store import watching
from agno_store.dialects import Dialect
from agno_store.dialects.waiting import pause
from agno_store.names import Names

T = TypeVar("T")
log = logging.getLogger("agno_store")

PATIENCE = 5.0
"""Seconds after the first failure within which a server that is gone has to be back, and others may be in the way."""

LONGEST_PAUSE = 0.5


class Cause(enum.Enum):
    """Why an attempt failed that is worth another one."""

    OTHERS = "others were in the way"
    RACE = "another one stored the same key"
    LOST = "the connection was lost"
    READ_ONLY = "the server takes no writes"
    NO_TEXT = "bytes are stored that are no text"


MOST: Mapping[Cause, int] = MappingProxyType({Cause.OTHERS: 10, Cause.RACE: 5, Cause.READ_ONLY: 3, Cause.NO_TEXT: 10})
"""How many attempts there are at the most; more within PATIENCE where others are in the way."""


class Attempts:
    """The attempts at one transaction: how many there were, and what is known of it.

    ``recycle`` has new connections made. ``brief`` is for what is no transaction of rows: it is done once more, and
    at once, where a connection that there was is lost.
    """

    def __init__(
        self, names: Names, dialect: Dialect, recycle: Callable[[], None], *, repeatable: bool, brief: bool = False
    ) -> None:
        self.count = 0
        self.committing = False
        """Whether COMMIT has been sent in this attempt."""
        self.unknown = False
        """Whether COMMIT was sent in some attempt, and no answer came."""
        self.surprised = False
        """Whether it ended with an error of which another attempt would not have been the cure."""
        self._names = names
        self._dialect = dialect
        self._recycle = recycle
        self.repeatable = repeatable
        """Whether it may be run again where it may be stored already."""
        self.is_whole = not brief
        """Whether an attempt that fails before COMMIT has written nothing."""

    def run(self, once: Callable[..., T], *args: Any) -> T:
        """Call ``once`` with these until it succeeds, or fails with what another attempt would not mend."""
        first: float | None = None
        while True:
            self.count += 1
            self.committing = False
            try:
                return once(*args)
            except DBAPIError as error:
                moment = time.monotonic()
                first = moment if first is None else first
                if not self._may_go_on(error, moment - first):
                    raise
            watching.tried(self.count + 1)
            pause(random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, 0.01 * 2**self.count))

    def _may_go_on(self, error: DBAPIError, since: float) -> bool:
        cause = self._cause(error)
        if cause is None:
            self.surprised = True
            return False
        if self.committing and (cause is Cause.LOST or self._dialect.may_be_committed(error)):
            self.unknown = True
        if self.committing and cause is Cause.LOST and not self.repeatable:
            return False
        if cause is Cause.READ_ONLY:
            self._recycle()  # whatever the pool still holds leads to the same server
        if self._is_over(cause, error, since):
            return False
        said = type(error.orig).__name__
        log.info("%s: attempt %d met %s (%s); trying again", self._names, self.count, said, cause.value)
        return True

    def _is_over(self, cause: Cause, error: DBAPIError, since: float) -> bool:
        if not self.is_whole and cause is not Cause.OTHERS:
            return cause is not Cause.LOST or error.statement is None or self.count > 1
        if cause is Cause.LOST:
            return since > PATIENCE
        # At another node of a cluster nobody waits for his turn: one who tries may be outrun many times.
        return self.count >= MOST[cause] and (cause is not Cause.OTHERS or since > PATIENCE)

    def _cause(self, error: DBAPIError) -> Cause | None:
        if isinstance(error, IntegrityError):
            return Cause.RACE  # the next attempt sees the row
        if self._dialect.is_mended(error):
            return Cause.NO_TEXT  # the next attempt may get another connection, with which it is the same
        if self._dialect.is_transient(error):
            return Cause.OTHERS
        if self._dialect.is_lost(error):
            return Cause.LOST
        return Cause.READ_ONLY if self._dialect.is_read_only(error) else None
