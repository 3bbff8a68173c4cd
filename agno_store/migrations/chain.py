"""The revisions in their order: ours, and after them an application's own branch.

Both keep their place in the same version table, a row each. Ours are numbered with four digits; every other
row belongs to an application, which need not be the one that runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationStep
from alembic.script import Script

from agno_store import release, schema
from agno_store.errors import ConfigurationError, InvalidArgument, SchemaConflict
from agno_store.migrations.scripts import read, script_directory
from agno_store.names import Names

BRANCH = "application"
"""The label of an application's branch."""


WALKED = ("sessions", "runs", "summaries")
"""The tables that a backfill can go through."""


@dataclass(frozen=True)
class Position:
    """Where a store stands on both branches; None before the first revision of one."""

    own: str | None = None
    application: str | None = None


@dataclass(frozen=True)
class Target:
    """How many revisions of each branch a store is to have; None leaves that branch where it is."""

    name: str
    own: int | None
    application: int | None


class Chain:
    """The revisions of this release (or those of a folder like ``alembic/``), and in an application's ``versions``.

    Raises ConfigurationError where the application's revisions are not one line of their own.
    """

    def __init__(self, versions: Path | None = None, scripts: Path | None = None) -> None:
        self.versions = versions
        self.scripts = scripts
        self.script = script_directory(versions, scripts)
        every = read(self.script, versions)
        self._refuse_duplicates({Path(script.path).resolve() for script in every})
        self.own = tuple(script for script in every if schema.is_own(script.revision))
        self.application = tuple(script for script in every if not schema.is_own(script.revision))
        self._own_index = {script.revision: n for n, script in enumerate(self.own, start=1)}
        self._application_index = {script.revision: n for n, script in enumerate(self.application, start=1)}
        self._refuse_branches()

    @property
    def every(self) -> tuple[Script, ...]:
        """All revisions, in the order in which an upgrade from nothing applies them."""
        return self.own + self.application

    # -- where a store stands -----------------------------------------------------------------

    def position(self, heads: Iterable[str], names: Names) -> Position:
        """Sort the rows of a version table. Rows of an application that is not this one are passed over.

        Raises SchemaConflict where one branch is at several revisions.
        """
        heads = list(heads)
        here = [head for head in heads if head in self._application_index]
        if len(here) > 1:
            raise SchemaConflict(
                f"{names}: its version table {names.version} holds several revisions of one application: "
                f"{', '.join(here)}. Nothing was changed. Delete the rows that are wrong; agno-store stamp records the "
                "right one after looking at the tables.",
                store=str(names),
            )
        return Position(schema.own_revision(heads, names), here[0] if here else None)

    def knows(self, position: Position) -> bool:
        """Whether this release has the revision that a store is at."""
        return position.own is None or position.own in self._own_index

    def applied(self, position: Position) -> tuple[Script, ...]:
        """Return the revisions that a store at ``position`` has."""
        own, application = self._indexes(position)
        return self.own[:own] + self.application[:application]

    # -- where it is to go --------------------------------------------------------------------

    def resolve(self, name: str, *, up: bool) -> Target:
        """Return what ``head``, ``base``, a revision or a release of agno_store means as a target.

        ``application@base`` is a store with nothing of the application's.
        Going up to a revision of the application needs all of ours; going down to one of ours takes back
        those of the application that were made for a later one. Raises InvalidArgument for another name.
        """
        if name == "head":
            return Target(name, len(self.own), len(self.application))
        if name == "base":
            return Target(name, 0, 0)
        if name == f"{BRANCH}@base":
            return Target(name, None, 0)
        if name in self._application_index:
            return Target(name, len(self.own) if up else None, self._application_index[name])
        own = self._own_index.get(name) or self._of_release(name)
        if own is None:
            known = ", ".join(script.revision for script in self.every)
            raise InvalidArgument(
                f"There is no revision or release {name!r}; there are base, {known}, head and the releases "
                f"{self._first_release()} to {release.__version__}."
            )
        return Target(name, own, None if up else self._serving(own))

    def reached(self, position: Position, target: Target, *, up: bool) -> bool:
        """Whether a store at ``position`` is at the target or beyond it."""
        sign = 1 if up else -1
        return all(
            there is None or sign * here >= sign * there
            for here, there in zip(self._indexes(position), (target.own, target.application), strict=True)
        )

    def between(self, position: Position, target: Target, *, up: bool) -> list[Any]:
        """Return Alembic's steps from a position to a target, in order."""
        here, there = self._indexes(position), (target.own, target.application)
        both = [
            list(branch[at:to] if up else branch[to:at])
            for branch, at, to in zip((self.own, self.application), here, there, strict=True)
            if to is not None
        ]
        scripts = [script for branch in both for script in branch]
        step = MigrationStep.upgrade_from_script if up else MigrationStep.downgrade_from_script
        return [step(self.script.revision_map, script) for script in (scripts if up else scripts[::-1])]

    def position_at(self, target: Target, before: Position = Position()) -> Position:
        """Return where a store that was at ``before`` stands at the target."""
        at = [
            here if there is None else there
            for here, there in zip(self._indexes(before), (target.own, target.application), strict=True)
        ]
        own, application = (
            branch[n - 1].revision if n else None for branch, n in zip((self.own, self.application), at, strict=True)
        )
        return Position(own, application)

    # -- the work -----------------------------------------------------------------------------

    def _indexes(self, position: Position) -> tuple[int, int]:
        own = self._own_index.get(position.own or "", 0 if position.own is None else len(self.own))
        return own, self._application_index.get(position.application or "", 0)

    def _of_release(self, name: str) -> int | None:
        try:
            wanted = release.order(name)
        except ValueError:
            return None
        if not release.order(self._first_release()) <= wanted <= release.order(release.__version__):
            return None
        return sum(release.order(script.module.release) <= wanted for script in self.own)

    def _first_release(self) -> str:
        return str(self.own[0].module.release)

    def _serving(self, own: int) -> int:
        """Return how many of the application's revisions can stay with so many of ours."""
        stays = [self._own_index[script.module.requires] <= own for script in self.application]
        return stays.index(False) if False in stays else len(stays)

    def _refuse_duplicates(self, read: set[Path]) -> None:
        """Raise ConfigurationError for a file that Alembic leaves out, because another one has its revision."""
        for location in self.script.version_locations:
            for file in Path(location).glob("[!.]*.py"):
                if file.resolve() not in read and file.name != "__init__.py":
                    raise ConfigurationError(f"{file} has the revision of another file. Give it the next one.")

    def _refuse_branches(self) -> None:
        before: str | None = None
        for script in self.application:
            if script.down_revision != before:
                raise ConfigurationError(
                    f"The revisions in {self.versions} are not one line: {script.revision} ({script.path}) comes after "
                    f"{script.down_revision or 'nothing'}, as another one does. Set its down_revision to {before!r}."
                )
            if getattr(script.module, "requires", None) not in self._own_index:
                raise ConfigurationError(
                    f"{script.path} must name the revision of agno_store that it was made for, as in "
                    f'requires = "{self.own[-1].revision}".'
                )
            if hasattr(script.module, "backfill") and getattr(script.module, "backfills", None) not in WALKED:
                raise ConfigurationError(
                    f"{script.path} has a backfill and must name the table that it goes through, as in "
                    'backfills = "sessions"; there are runs and summaries besides.'
                )
            before = script.revision


@lru_cache(maxsize=8)
def chain(versions: Path | None = None) -> Chain:
    """Return the revisions, read once."""
    return Chain(versions)


def heads_of(position: Position) -> Sequence[str]:
    """Return the rows of a version table for a store at ``position``."""
    return [revision for revision in (position.own, position.application) if revision is not None]
