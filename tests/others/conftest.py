"""An empty database of the test's own, that each class can open."""

from __future__ import annotations

import pytest

from tests.contract.stores import plain


@pytest.fixture
def url(fresh_url: str) -> str:
    return plain(fresh_url).render_as_string(hide_password=False)
