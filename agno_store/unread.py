"""Runs of a framework's session that are read when they are looked at.

A session comes with all of its runs, and most of them are never looked at. ``Runs`` is a list of them: an object
is made where one is asked for, and reads its text when more of it is asked for than its ids and its status. From
then on it is an object of the framework's own class, and before that one of a class derived from it. To copy it and to
set a field of it asks for no more, nor do lists of it that are known to be empty: agno copies each of a team's runs,
and empties the copy of what their members have answered, whenever it saves a team's session.

What a caller gets is his own. So a run that several callers look at, one turn after the other, would be decoded for
each of them: once it was for the second time, it is known how to copy what was made of it.

A text is only kept after the framework has read it once, so nothing is found out later that reading the session
would have told.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache, partial
from typing import Any, SupportsIndex
from weakref import ref

from agno_store import apart, encoding

_HEAD = (
    *("run_id", "session_id", "agent_id", "team_id", "workflow_id", "parent_run_id", "user_id", "status"),
    "workflow_step_id",
)
"""What a framework asks of every run of a session."""

_LISTS = ("member_responses",)
"""Lists that it asks of each run and that are mostly empty."""

_KEPT, _READ, _EMPTY, _SHARED = [f"_agno_store_{name}" for name in ("kept", "read", "empty", "shared")]
_OURS = frozenset({_KEPT, _READ, _EMPTY, _SHARED})
"""What an unread run's dictionary holds besides fields: what it is made of, what that was read as once it is, which of
its lists are empty, and of one that was copied what it and its copies are read as, once one of them is: copies hold the
very same objects."""

BESIDE = 1_000
"""Bytes that a kept run takes beside its text, about."""

READY = 10
"""Runs of a session at the most that are prepared to be copied as soon as they are read: a framework looks at the last
few in each turn."""

RECIPES_MB = 16
"""Megabytes that a process takes at the most to know how to copy runs."""


class Kept:
    """A stored run: ``row`` until the framework has read it, then its text and what stands in ``_HEAD``."""

    __slots__ = ("__weakref__", "cls", "copied", "head", "is_prepared", "row", "size", "text", "version")

    def __init__(self, row: Mapping[Any, Any]) -> None:
        self.row: Mapping[Any, Any] | None = row
        self.version: tuple[int, int, int] = row["run_index"], row["version"], row["updated_at"]
        self.size = apart.size(row["run_data"]) + BESIDE
        self.cls: Any = None
        self.head: dict[str, Any] = {}
        self.text = ""
        self.is_prepared = False
        self.copied: Callable[[], Any] | None = None
        """Returns a copy of what the framework makes of it, where that is known."""

    @property
    def run_index(self) -> int:
        """Its place in its session."""
        return self.version[0]

    @property
    def is_passed_over(self) -> bool:
        """Whether the framework leaves it out of its session."""
        return self.row is None and self.cls is None

    def read_as(self, run: Any) -> None:
        """Note what the framework has made of it, which is None where it passes over it."""
        row = self.row
        if row is None:
            return
        if run is not None:
            plain: Any = type(run)
            cls, names = _unread(plain)
            if vars(run).keys() != names:
                return  # it holds more than its class says, and is read each time
            told = {name: vars(run)[name] for name in _HEAD if name in names}
            self.head = {name: value for name, value in told.items() if value is None or isinstance(value, (str, Enum))}
            self.text = row["run_data"]
            empty = frozenset(name for name in _LISTS if name in names and vars(run)[name] == [])
            if empty:
                self.head[_EMPTY] = empty
            self.cls = cls
        self.row = None

    def fields(self) -> dict[str, Any]:
        """Return the fields of what the framework makes of it, of which nobody else has any."""
        copied = self.copied
        if copied is not None:
            run = copied()
        else:
            run = self.cls._agno_store_plain.from_dict(encoding.decode(self.text))
            self.prepare(run)
        entries: dict[str, Any] = vars(run)
        return entries

    def prepare(self, run: Any) -> None:
        """Find out how to copy what the framework has made of it, which nobody else may have yet. It is tried once."""
        if self.is_prepared:
            return
        from agno_store import copies  # not for who has no framework

        self.is_prepared = True
        recipe = copies.recipe(run, self.text)
        if recipe is not None:
            _recipes.add(self, partial(copies.made, recipe.node), recipe.size)


def prepare(runs: Sequence[Kept], made: Mapping[Kept, Any]) -> None:
    """Prepare those of a session's last runs that were ``made`` just now, where others of them were looked at again.

    Runs that belong to another one are not in a framework's history.
    """
    last = runs[-READY:]
    if any(kept.copied for kept in last):
        for kept in last:
            if kept in made and kept.cls is not None and kept.head.get("parent_run_id") is None:
                kept.prepare(made[kept])


class Recipes:
    """How to copy runs, in so many megabytes: the last ones that were prepared, as long as they are kept at all."""

    def __init__(self, megabytes: float) -> None:
        self.most = int(megabytes * 1_000_000)
        self.size = 0
        self._kept: deque[tuple[ref[Kept], int]] = deque()

    def add(self, kept: Kept, copied: Callable[[], Any], size: int) -> None:
        """Have a run copied from now on, and others decoded again that were prepared before, where it is too much."""
        with _lock:
            if kept.copied is not None:
                return  # another thread was faster
            kept.copied = copied
            self._kept.append((ref(kept), size))
            self.size += size
            while self.size > self.most:
                found, size = self._kept.popleft()
                self.size -= size
                first = found()
                if first is not None:
                    first.copied = None


class Runs(list[Any]):
    """The runs of a session: those that were not asked for yet are made when they are."""

    __slots__ = ("_count", "_is_whole", "_made")

    def __init__(self, runs: Iterable[Any] = (), made: dict[Kept, Any] | None = None) -> None:
        super().__init__(runs)
        self._made = {} if made is None else made
        self._count = len(self)
        self._is_whole = False

    def __getitem__(self, at: Any) -> Any:
        if not self._is_whole:
            if isinstance(at, slice):
                self._make(range(*at.indices(len(self))))
            elif hasattr(at, "__index__") and -len(self) <= at.__index__() < len(self):
                self._make((at,))
        return super().__getitem__(at)

    def __radd__(self, other: list[Any]) -> list[Any]:
        return other + list(self) if isinstance(other, list) else NotImplemented

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Any, ...]:
        return list, (list(self),)

    def _make(self, places: Iterable[int]) -> None:
        get, put, made = super().__getitem__, super().__setitem__, self._made
        for place in places:
            found = get(place)
            if type(found) is Kept:
                # The same one for all threads that ask at once.
                put(place, made[found] if found in made else made.setdefault(found, _made(found)))

    def _make_all(self) -> None:
        if not self._is_whole:
            self._make(range(len(self)))
            self._is_whole = True


def _on_all(name: str) -> Callable[..., Any]:
    plain = getattr(list, name)

    def method(self: Runs, *args: Any, **kwargs: Any) -> Any:
        self._make_all()
        if name.strip("_") in _COMPARED and args and isinstance(args[0], Runs):
            args[0]._make_all()
        return plain(self, *args, **kwargs)

    method.__name__, method.__qualname__, method.__doc__ = name, f"Runs.{name}", plain.__doc__
    return method


_COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "add")

for _name in (
    *("__iter__", "__reversed__", "__contains__", "__repr__", "__setitem__", "__delitem__"),
    *(f"__{compared}__" for compared in _COMPARED),
    *("__mul__", "__rmul__", "__imul__", "__iadd__", "extend"),
    *("clear", "copy", "count", "index", "insert", "pop", "remove", "reverse", "sort"),
):
    setattr(Runs, _name, _on_all(_name))


def added(runs: list[Any] | tuple[Any, ...]) -> Sequence[Any]:
    """Return those runs of a session that may not be a store's own."""
    return runs if not isinstance(runs, Runs) or runs._is_whole else list.__getitem__(runs, slice(runs._count, None))


# -- one run -----------------------------------------------------------------------------------------


_new = object.__new__


def _made(kept: Kept) -> Any:
    cls = kept.cls
    run, own = _new(cls), kept.head.copy()
    own[_KEPT] = kept
    cls._agno_store_dict.__set__(run, own)
    return run


class _Field:
    """A field that is not there yet. What is in the object's own dictionary comes before it."""

    __slots__ = ("name", "plain")

    def __init__(self, plain: type, name: str) -> None:
        self.plain, self.name = plain, name

    def __get__(self, run: Any, cls: type) -> Any:
        return getattr(self.plain if run is None else _read(run), self.name)


class _ListField(_Field):
    """One that may be known to be an empty list."""

    __slots__ = ()

    def __get__(self, run: Any, cls: type) -> Any:
        own = {} if run is None else _own(run)
        if self.name in own.get(_EMPTY, ()):
            with _lock:
                if _READ not in own:
                    return own.setdefault(self.name, [])
        return super().__get__(run, cls)


_lock = threading.RLock()
"""For what becomes of an unread run: what one thread sets as another one reads it is not lost."""

_recipes = Recipes(RECIPES_MB)


def _own(run: Any) -> dict[str, Any]:
    """Return the dictionary of an object, whatever it says that this is."""
    cls: Any = type(run)
    found: dict[str, Any] = cls._agno_store_dict.__get__(run) if issubclass(cls, _Unread) else vars(run)
    return found


def _read(run: Any) -> Any:
    """Make an unread run one of its framework's own class, whichever thread does it first, and return it."""
    cls: Any = type(run)
    if issubclass(cls, _Unread):
        plain, own = cls._agno_store_plain, cls._agno_store_dict.__get__(run)
        kept = own.get(_KEPT)
        if kept is not None:
            # One dictionary for all threads that read it at once: what one of them writes, the others see.
            cls._agno_store_dict.__set__(run, own.get(_READ) or _fields(kept, own))
        _CLASS.__set__(run, plain)
    return run


def _fields(kept: Kept, own: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an unread run, with what was set before, noted for all who read it meanwhile."""
    shared = own.get(_SHARED)
    decoded = shared[0] if shared else kept.fields()
    with _lock:
        if _READ not in own:
            if _SHARED in own:  # it may have been copied meanwhile
                own[_SHARED].extend(() if own[_SHARED] else [decoded])
                decoded = own[_SHARED][0]
            fields = {**decoded, **own}
            for name in _OURS:
                fields.pop(name, None)
            own[_READ] = fields
        return own[_READ]  # type: ignore[no-any-return]


_CLASS: Any = vars(object)["__class__"]


class _Unread:
    """What an unread run does before anything else."""

    def __setattr__(self, name: str, value: Any) -> None:
        cls, own = type(self), _own(self)
        if _KEPT in own and name in getattr(cls, "_agno_store_settable", ()):
            with _lock:
                if _READ not in own:
                    own[name] = value
                    return
        setattr(_read(self), name, value)

    def __copy__(self) -> Any:
        cls: Any = type(self)
        own = _own(self)
        with _lock:
            if _KEPT in own and _READ not in own:
                for name in own.get(_EMPTY, ()):
                    own.setdefault(name, [])
                own.setdefault(_SHARED, [])
                made = _new(cls)
                cls._agno_store_dict.__set__(made, own.copy())
                return made
        return copy.copy(_read(self))

    def __delattr__(self, name: str) -> None:
        delattr(_read(self), name)

    def __eq__(self, other: object) -> Any:
        return _read(self) == (_read(other) if isinstance(other, _Unread) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(_read(self))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return _read(self).__reduce_ex__(protocol)


@lru_cache(maxsize=64)
def _unread(plain: type) -> tuple[type, frozenset[str]]:
    """Return the class of unread runs of a framework's class, and the names of its fields."""
    names = frozenset(field.name for field in dataclasses.fields(plain))
    own = next(vars(cls)["__dict__"] for cls in plain.__mro__ if "__dict__" in vars(cls))
    members: dict[str, Any] = {name: (_ListField if name in _LISTS else _Field)(plain, name) for name in names}
    if any("__copy__" in vars(cls) for cls in plain.__mro__):
        members["__copy__"] = lambda run: copy.copy(_read(run))
    members |= {
        "__class__": property(lambda _: plain),
        # Readers in C look for it in the class itself, and take the dictionary then: the one that has been read.
        "__dataclass_fields__": plain.__dataclass_fields__,  # type: ignore[attr-defined]
        "__dict__": property(lambda run: vars(_read(run))),
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "__doc__": plain.__doc__,
        "_agno_store_plain": plain,
        "_agno_store_dict": own,
        "_agno_store_settable": names if vars(object)["__setattr__"] is plain.__setattr__ else frozenset(),
    }
    return type(plain.__name__, (_Unread, plain), members), names


def _begin_anew() -> None:
    global _lock, _recipes
    # A thread of the parent's may have had the one, and have been changing the others.
    _lock, _recipes = threading.RLock(), Recipes(RECIPES_MB)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
