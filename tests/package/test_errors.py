"""The tree at the top of errors.py is the real one, and every error can travel between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from agno_store import errors

ERRORS: dict[str, type[errors.AgnoStoreError]] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.AgnoStoreError)
}

_LINE = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: \((?P<also>[\w, ]+)\))?(?:  +(?P<about>.+))?$")


def drawn() -> dict[str, tuple[list[str], list[str]]]:
    """Read the tree: for each error its bases, and the attributes that are said of it."""
    assert errors.__doc__ is not None
    lines = [match for line in errors.__doc__.splitlines() if (match := _LINE.match(line))]
    found: dict[str, tuple[list[str], list[str]]] = {}
    above: list[str] = []
    for line in lines:
        depth = len(line["indent"]) // 4
        above[depth:] = [line["name"]]
        bases = [above[depth - 1]] if depth else ["Exception"]
        attributes = re.findall(r"(?<!\w)\.(\w+)", line["about"] or "")
        found[line["name"]] = [*bases, *(line["also"] or "").split(", ")], attributes
    return {name: ([base for base in bases if base], attributes) for name, (bases, attributes) in found.items()}


def made(cls: type[errors.AgnoStoreError]) -> errors.AgnoStoreError:
    """Return an error with a value of its own in every attribute."""
    values: dict[str, Any] = {
        "str": "some",
        "int": 7,
        "int | None": 7,
        "str | None": "0001",
        "Sequence[str]": ("one", "two"),
    }
    options = inspect.getfullargspec(cls.__init__) if inspect.isfunction(cls.__init__) else None
    names = options.kwonlyargs if options else []
    return cls("What happened.", **{name: values[options.annotations[name]] for name in names if options})


def test_the_tree_is_drawn_as_it_is() -> None:
    real = {name: [base.__name__ for base in cls.__bases__] for name, cls in ERRORS.items()}
    assert {name: bases for name, (bases, _) in drawn().items()} == real


def test_the_attributes_in_the_tree_are_there() -> None:
    told = {(name, attribute) for name, (_, attributes) in drawn().items() for attribute in attributes}
    assert ("SchemaError", "store") in told
    assert [(name, attribute) for name, attribute in told if not hasattr(made(ERRORS[name]), attribute)] == []


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_says_its_message_and_keeps_it_with_its_attributes(name: str) -> None:
    error = made(ERRORS[name])
    assert str(error) == "What happened."
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_documented(name: str) -> None:
    assert ERRORS[name].__doc__ not in [base.__doc__ for base in ERRORS[name].__mro__[1:]]
