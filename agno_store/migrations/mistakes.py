"""What a revision does wrong or refuses by itself, told as that: in which line of which file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

from alembic.script import Script
from sqlalchemy.exc import SQLAlchemyError

from agno_store.errors import AgnoStoreError, SchemaError
from agno_store.migrations.chain import Chain, Position, Target
from agno_store.migrations.source import Source
from agno_store.names import Names
from agno_store.tables import HEAD

MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What Python raises where a revision is wrong, or refuses (NotImplementedError)."""


@contextmanager
def told_of(names: Names, scripts: Iterable[Script], left: str) -> Iterator[None]:
    """Raise SchemaError for what went wrong in the code of one of the revisions; ``left`` says what it left behind."""
    try:
        yield
    except (AgnoStoreError, SQLAlchemyError):
        raise
    except MISTAKES as error:
        for script in scripts:
            line = line_in(script.path, error.__traceback__)
            if line is not None:
                what = ": ".join(filter(None, (type(error).__name__, str(error))))
                raise SchemaError(
                    f"{names}: revision {script.revision} failed in line {line} of {script.path}: {what}. {left}",
                    store=str(names),
                    head=HEAD,
                ) from error
        raise


def refuse_one_way(names: Names, chain: Chain, position: Position, target: Target) -> None:
    """Raise SchemaError where a revision on the way down cannot be undone."""
    for step in chain.between(position, target, up=False):
        script: Script = step.revision
        if not Source(script.path).can_be_undone():
            raise SchemaError(
                f"{names}: revision {script.revision} ({script.doc}) cannot be undone, so nothing leads back to "
                f"{target.name}. Nothing was changed. Why is said in {script.path}. Restore a backup of before.",
                store=str(names),
                current=position.own,
                head=HEAD,
            )


def line_in(file: str, traceback: TracebackType | None) -> int | None:
    """Return the last line of a file that an error came through, None where it did not."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
