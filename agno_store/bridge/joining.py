"""Becoming what agno takes as ``db=``, or agno 1 as ``storage=``.

A class of ours becomes a *virtual* subclass of agno's ``BaseDb`` the moment ``agno.db.base`` is imported,
be that before or after ours. Real inheritance would break whenever agno adds an abstract method, and
would need agno to be there. What we do not keep (memories, knowledge, traces ...) is completed so that
every question agno asks has its true answer: an optional method is ``BaseDb``'s own function object, because
agno compares identities (``type(db).upsert_compaction is not BaseDb.upsert_compaction``); an abstract one
raises NotImplementedError with a sentence that says what to do.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
from typing import Any, TypeVar

BASE_MODULE, STORAGE_MODULE = "agno.db.base", "agno.storage.base"

C = TypeVar("C", bound=type)

_classes: dict[type, tuple[str, str]] = {}
"""Ours, each with the class of agno's that it stands for: its module and its name."""


def connect(cls: C, base: str = "BaseDb", where: str = BASE_MODULE) -> C:
    """Make ``cls`` acceptable as agno's ``db=``, now or when agno is imported. Usable as a decorator."""
    _classes[cls] = (where, base)
    module = sys.modules.get(where)
    if module is not None and hasattr(module, base):
        _complete(cls, getattr(module, base))
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())
    return cls


def connect_async(cls: C) -> C:
    """The same for a class whose methods are coroutine functions."""
    return connect(cls, "AsyncBaseDb")


def connect_storage(cls: C) -> C:
    """The same for agno 1 and its ``storage=``."""
    return connect(cls, "Storage", STORAGE_MODULE)


class _WhenImported(importlib.abc.MetaPathFinder):
    """Finds one module the way everybody else does, and has our classes completed right after it ran."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in (BASE_MODULE, STORAGE_MODULE):
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            _after(spec.loader, _complete_all)
        return spec


def _after(loader: Any, act: Callable[[ModuleType], None]) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        act(module)

    loader.exec_module = exec_module


def _complete_all(module: ModuleType) -> None:
    for cls, (where, base) in _classes.items():
        if where == module.__name__:
            _complete(cls, getattr(module, base))


def _complete(cls: type, base: Any) -> None:
    for name, member in vars(base).items():
        if not isinstance(member, FunctionType) or name.startswith("_") or hasattr(cls, name):
            continue
        abstract = getattr(member, "__isabstractmethod__", False)
        setattr(cls, name, _missing(name, member) if abstract else member)
    # agno reads the names of all its tables from every db; None says that there is no such table here.
    for name in base.__init__.__code__.co_names:
        if name.endswith("_table_name") and not hasattr(cls, name):
            setattr(cls, name, None)
    base.register(cls)


def _missing(name: str, original: FunctionType) -> Callable[..., Any]:
    def refuse(self: Any, *_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError(
            f"agno_store keeps sessions, runs and summaries; {type(self).__name__}.{name}() is not among them. "
            "Give the feature that called it a db of agno's own."
        )

    async def refuse_when_awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
        refuse(self, *args, **kwargs)

    method: Any = refuse_when_awaited if inspect.iscoroutinefunction(original) else refuse
    method.__name__, method.__qualname__ = name, f"agno_store.{name}"
    method.__doc__ = f"Not kept here: raises NotImplementedError. See agno's {original.__qualname__}."
    method.__signature__ = inspect.signature(original)
    return method  # type: ignore[no-any-return]
