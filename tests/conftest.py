"""Fixtures that every part of the suite shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from agno_store import open_db

pytest_plugins = ["tests.servers.plugin"]

# How long an example takes, or its making, is the machine's business: no test fails for it.
settings.register_profile("agno_store", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agno_store")


@pytest.fixture
def db(fresh_url: str) -> Iterator[Any]:
    """A store in an empty database of the backend under test."""
    with open_db(fresh_url) as store:
        yield store
