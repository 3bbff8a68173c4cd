"""What Alembic is told about one store, whoever drives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from agno_store.names import Names
from agno_store.tables import metadata

_TRUTH = {"0": False, "false": False, "1": True, "true": True}


def options(n: Names, **more: Any) -> dict[str, Any]:
    """Return options of a MigrationContext that make it see this store and no other table."""

    def include_name(name: str | None, type_: str, _parents: Mapping[str, Any]) -> bool:
        if type_ == "schema":
            return name == n.schema
        return type_ != "table" or name in n.tables

    return {
        "version_table": n.version,
        "version_table_schema": n.schema,
        "target_metadata": metadata(n),
        "include_schemas": n.schema is not None,
        "include_name": include_name,
        "compare_type": True,
        "compare_server_default": _default_differs,
        **more,
    }


def _default_differs(
    _context: Any, _inspected: Any, _declared: Any, there: str | None, _default: Any, rendered: str | None
) -> bool | None:
    """Say False where a default is only spelled otherwise ('0' for 0); let Alembic judge the rest."""
    found, wanted = (_spelled(text) for text in (there, rendered))
    return False if found == wanted else None


def _spelled(text: str | None) -> str | bool | None:
    if text is None:
        return None
    plain = sa.text(text).text.split("::")[0].strip("'\"() ").lower()
    return _TRUTH.get(plain, plain)
