"""How MySQL and MariaDB say what a store's statements have words of their own for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from agno_store.listings import Behind
from agno_store.quick import Counted
from agno_store.sending import Block


@compiles(Behind, "mysql", "mariadb")
def _behind(element: Behind, compiler: Any, **kw: Any) -> str:
    # Column by column: of a comparison of rows neither makes a range of an index.
    (comparison,) = element.clauses
    *pairs, (column, value) = zip(comparison.left.clauses, comparison.right.clauses, strict=True)
    follows = comparison.operator(column, value)
    for column, value in reversed(pairs):
        follows = sa.or_(comparison.operator(column, value), sa.and_(column == value, follows))
    return f"({compiler.process(follows, **kw)})"


@compiles(Counted, "mysql", "mariadb")
def _counted(element: Counted, compiler: Any, **kw: Any) -> str:
    return f"LAST_INSERT_ID({compiler.process(element.clauses, **kw)}) + 1"


@compiles(Block, "mysql", "mariadb")
def _block(element: Block, compiler: Any, **kw: Any) -> str:
    # An error ends the block; SQLAlchemy rolls back where one meets a connection that it has begun nothing on.
    update = compiler.process(element.update, **kw)
    if element.insert is None:
        return f"BEGIN NOT ATOMIC START TRANSACTION; {update}; COMMIT; END"
    return (
        f"BEGIN NOT ATOMIC START TRANSACTION; {update}; IF ROW_COUNT() = 1 THEN "
        f"{compiler.process(element.insert, **kw)}; COMMIT; SELECT LAST_INSERT_ID() AS run_index; "
        "ELSE ROLLBACK; SELECT NULL AS run_index; END IF; END"
    )
