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
