"""What `from agno_store import ...` offers is listed by hand, in order, and documented."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import agno_store
from agno_store import errors


def test_all_lists_what_the_package_exports() -> None:
    public = {
        name
        for name in dir(agno_store)
        if not name.startswith("_") and not isinstance(getattr(agno_store, name), ModuleType)
    }
    assert set(agno_store.__all__) == public | {"__version__"}


def test_what_is_imported_later_is_listed_and_nothing_else_is_made_up() -> None:
    assert vars(agno_store)["_LATER"] <= set(agno_store.__all__) & set(dir(agno_store))
    with pytest.raises(AttributeError, match="has no attribute 'AsyncRedisDb'"):
        agno_store.AsyncRedisDb  # type: ignore[attr-defined]  # noqa: B018


def test_all_is_sorted_and_names_nothing_twice() -> None:
    assert list(agno_store.__all__) == sorted(set(agno_store.__all__))


def test_every_error_is_exported() -> None:
    declared = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert declared <= set(agno_store.__all__)


@pytest.mark.parametrize("name", [name for name in agno_store.__all__ if name != "__version__"])
def test_every_export_has_a_docstring_of_its_own(name: str) -> None:
    documented = vars(getattr(agno_store, name)).get("__doc__") or getattr(agno_store, name).__doc__
    assert documented
    assert not documented.startswith(f"{name}("), "that is what dataclass writes where there is none"
    inherited = [base.__doc__ for base in getattr(getattr(agno_store, name), "__mro__", ())[1:]]
    assert documented not in inherited
