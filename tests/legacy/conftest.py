"""Old tables in the database under test, and a store beside them."""

from __future__ import annotations

import pytest

from tests.legacy.tables import Tables


@pytest.fixture
def old(fresh_url: str) -> Tables:
    """Old tables in the database under test: none, until a test makes some."""
    return Tables(fresh_url)
