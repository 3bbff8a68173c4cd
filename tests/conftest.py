"""Fixtures that every part of the suite shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agno_store import open_db

pytest_plugins = ["tests.servers.plugin"]


@pytest.fixture
def db(fresh_url: str) -> Iterator[Any]:
    """A store in an empty database of the backend under test."""
    with open_db(fresh_url) as store:
        yield store
