"""Reading the session tables that agno's own storage classes have written, whichever release they were of."""

from agno_store.transfer.legacy.conversations import AgnoTables
from agno_store.transfer.legacy.source import OldTable

__all__ = ["AgnoTables", "OldTable"]
