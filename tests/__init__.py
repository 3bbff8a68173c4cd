"""The tests of agno_store."""
