"""Payloads in statements that look into them: what each database calls their text, and their size."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Text(FunctionElement[str]):
    """A payload as text."""

    type = sa.Text()
    inherit_cache = True


class Bytes(FunctionElement[int]):
    """How many bytes a payload has."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(Text)
def _as_it_is(element: Text, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(Text, "postgresql")
def _cast(element: Text, compiler: Any, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS TEXT)"


@compiles(Bytes)
def _octets(element: Bytes, compiler: Any, **kw: Any) -> str:
    return f"octet_length({compiler.process(Text(*element.clauses), **kw)})"


@compiles(Bytes, "sqlite")
def _blob(element: Bytes, compiler: Any, **kw: Any) -> str:
    # octet_length() came with SQLite 3.43.
    return f"length(CAST({compiler.process(element.clauses, **kw)} AS BLOB))"


class Holds(FunctionElement[bool]):
    """Whether a digest, the second one given, stands somewhere in a payload."""

    type = sa.Boolean()
    inherit_cache = True


@compiles(Holds)
def _position(element: Holds, compiler: Any, **kw: Any) -> str:
    payload, digest = element.clauses
    return f"instr({compiler.process(payload, **kw)}, {compiler.process(digest, **kw)}) > 0"


@compiles(Holds, "postgresql")
def _of_text(element: Holds, compiler: Any, **kw: Any) -> str:
    payload, digest = element.clauses
    return f"strpos({compiler.process(Text(payload), **kw)}, {compiler.process(digest, **kw)}) > 0"


@compiles(Holds, "mysql", "mariadb")
def _of_one_collation(element: Holds, compiler: Any, **kw: Any) -> str:
    # Ids are compared in another one, and no two columns of different ones are.
    payload, digest = element.clauses
    return f"instr({compiler.process(payload, **kw)}, {compiler.process(digest, **kw)} COLLATE utf8mb4_bin) > 0"
