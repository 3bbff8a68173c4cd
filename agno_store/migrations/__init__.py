"""A store's life: the only part that imports Alembic, and only imported when there is something to do.

The migrator drives Alembic's ``MigrationContext`` itself and gives every revision what it needs as
arguments, ``upgrade(op, n)``. It never touches ``alembic.op`` or ``alembic.context``: those are globals of
a module, and two threads upgrading two stores would write into each other's.
"""

from alembic import __version__ as ALEMBIC

from agno_store.migrations.migrator import Migrator
from agno_store.migrations.running import Step, known

__all__ = ["ALEMBIC", "Migrator", "Step", "known"]
