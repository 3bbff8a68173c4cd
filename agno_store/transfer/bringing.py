"""Sessions into a store, from wherever they come; what is there already is passed over without being read.

So a transfer that was ended in the middle, by whatever, is run again: there is no record of how far it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import DataError

from agno_store.errors import DatabaseError, InvalidArgument, OwnerMismatch, PayloadTooLarge
from agno_store.schema import MISSING
from agno_store.transfer.columns import RUN, SESSION, SUMMARY, complete
from agno_store.transfer.conversation import Content, Conversation, Malformed, Problem, Stamp
from agno_store.transfer.counts import Counts, Done, Transferred
from agno_store.transfer.digests import parts
from agno_store.transfer.reading import Db, Reading, Source, stamps
from agno_store.transfer.sealed import left, opened
from agno_store.transfer.statements import Statements
from agno_store.transfer.writing import put

SESSIONS_AT_ONCE = 100
"""How many sessions are looked for in the target in one statement."""

BYTES_AT_ONCE = 8_000_000
"""How much of them may be in memory meanwhile, besides one."""

Watch = Callable[[int, int | None], None]
"""What is called as a transfer goes on: with how much of the source is done, and how much it has in all."""


def bring(
    target: Db, source: Source, *, plan: bool = False, verify: bool = False, watch: Watch | None = None
) -> Transferred:
    """Write what ``source`` has into ``target``, each session in a transaction of its own, and say what was done.

    Safe to run again after any failure, and for what the source got since. With ``plan`` nothing is written;
    ``verify`` reads both once more afterwards and compares what they say. A session that cannot be stored is left
    out, and is one of the ``problems``; what keeps the databases from working raises.
    """
    if not plan:
        target._read(lambda _connection: None)  # looks at its tables, and makes them where there are none
    work = _Work(target, source, watch or _unwatched, Transferred(planned=plan))
    for some in _groups(source.conversations()):
        work.bring(some)
    if verify and not plan:
        work.verify()
    return work.done


def _unwatched(_done: int, _total: int | None) -> None:
    return None


def _groups(found: Iterator[Conversation | Problem]) -> Iterator[list[Conversation | Problem]]:
    some: list[Conversation | Problem] = []
    size = 0
    for each in found:
        some.append(each)
        size += 0 if isinstance(each, Problem) else each.size
        if len(some) >= SESSIONS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


@dataclass
class _Work:
    """A transfer under way."""

    target: Db
    source: Source
    watch: Watch
    done: Transferred
    _passed: int = 0
    _failed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._sql = Statements(self.target._store)
        source = self.source  # a file does not say whose its sessions were
        self._leaves_tenant = isinstance(source, Reading) and source.tenant_id != self.target._store.tenant_id
        # To read from a store without tables would make them.
        self._is_empty = self.done.planned and self.target.schema_status().state == MISSING

    # -- bringing -----------------------------------------------------------------------------

    def bring(self, some: Sequence[Conversation | Problem]) -> None:
        """Write some sessions, but for those that are there."""
        stored = self._stored([each.session_id for each in some if isinstance(each, Conversation) and each.stamp])
        before, passed = self._passed, self.source.passed
        for n, each in enumerate(some, 1):
            if isinstance(each, Problem):
                self._report(each.place, each.reason)
            elif each.stamp and each.session_id in stored and each.stamp.adds_nothing_to(stored[each.session_id]):
                self.done.add(Done(Counts(kept=1), Counts(kept=each.stamp.runs)))
            else:
                self._bring_one(each)
            self.watch(before + (passed - before) * n // len(some), self.source.total)
        self._passed = passed

    def _stored(self, session_ids: Sequence[str]) -> dict[str, Stamp]:
        if self._is_empty or not session_ids:
            return {}
        return self.target._read(stamps, self._sql, session_ids)

    def _bring_one(self, conversation: Conversation) -> None:
        try:
            content = self._read(conversation)
            if content is not None:
                self.done.add(self._put(content))
                self.done.problems += [Problem(conversation.place, reason) for reason in content.problems]
        except (Malformed, OwnerMismatch, InvalidArgument, PayloadTooLarge) as error:
            self._report(conversation.place, str(error))
        except DatabaseError as error:
            if not isinstance(error.__cause__, DataError):
                raise
            self._report(conversation.place, str(error))  # what is damaged in one database, another may refuse

    def _read(self, conversation: Conversation) -> Content | None:
        """Return what is in a conversation, opened where it comes sealed, as out of a store that has no codec.

        Raises Malformed where it cannot be opened, here or, in another tenant's store, by anybody.
        """
        content = conversation.read()
        sending = self.target._store.sending
        if content is None or not (sending.key_id or self._leaves_tenant):
            return content
        return opened(content, sending.open if sending.key_id else left)

    def _put(self, content: Content) -> Done:
        if self._is_empty:
            return _as_new(content)
        if self.done.planned:
            return self.target._read(put, self._sql, content, dry=True)
        return self.target._put(put, self._sql, content)

    def _report(self, place: str, reason: str) -> None:
        self.done.problems.append(Problem(place, reason))
        self._failed.add(place)

    # -- verifying ----------------------------------------------------------------------------

    def verify(self) -> None:
        """Compare what the target says with what the source says."""
        self.done.verified = 0
        reading = Reading(self.target)
        for each in self.source.conversations():
            if isinstance(each, Problem) or each.place in self._failed:
                continue
            content, differences = None, list[str]()
            try:
                content = self._read(each)
                if content is not None:
                    differences += _differences(content, reading.content(content.session["session_id"]))
            except Malformed as error:
                differences = [str(error)]
            self.done.verified += content is not None
            if differences:
                more = f", and {len(differences) - 1} more" if len(differences) > 1 else ""
                self.done.problems.append(Problem(each.place, f"verified: {differences[0]}{more}"))
            self.watch(self.source.passed, self.source.total)


def _as_new(content: Content) -> Done:
    """Return what would be done in a store that has nothing."""
    complete(SESSION, content.session)
    if content.summary is not None:
        complete(SUMMARY, content.summary)
    runs = {run["run_id"] for piece in content.runs for run in piece if complete(RUN, run)}
    return Done(Counts(1), Counts(len(runs)), Counts(int(content.summary is not None)))


def _differences(content: Content, stored: Content | None) -> Iterator[str]:
    """Say what of a session is not in the target, or says something else there and is not newer."""
    if stored is None:
        yield "it is not there"
        return
    there = {part.name: part for part in parts(stored)}
    for part in parts(content):
        found = there.get(part.name)
        if found is None:
            yield f"{part.name} is not there"
        elif found.digest != part.digest and not found.is_newer(part):
            yield f"{part.name} says something else there"
