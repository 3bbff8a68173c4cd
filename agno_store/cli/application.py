"""What an application has of its own: named on the command line, imported from its code."""

from __future__ import annotations

import os
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agno_store.errors import AgnoStoreError, ConfigurationError
from agno_store.names import Names
from agno_store.tables import Extend, metadata


@dataclass(frozen=True)
class Application:
    """The columns and indexes of an application, and the folder of its revisions. ``declares`` says if it was named."""

    declares: bool = False
    extend: Extend | None = None
    versions: Path | None = None

    @classmethod
    def named(cls, app: str | None, versions: Path | None, *, new: bool = False) -> Application:
        """Return what ``--app`` and ``--versions`` name: a store's folder counts where no other is given.

        Raises ConfigurationError for an object that cannot be had, or is neither a function nor a store, and for a
        folder that is not there, unless its first revision is about to be made (``new``).
        """
        folder = None if versions is None else versions.absolute()
        named = cls(versions=folder) if not app else cls._of(app, folder)
        if named.versions is not None and not named.versions.is_dir() and not new:
            raise ConfigurationError(
                f"There is no folder {named.versions} with revisions of your application. Is it in the image, and its "
                "name right? The first one is made by: agno-store history --new"
            )
        return named

    @classmethod
    def _of(cls, app: str, folder: Path | None) -> Application:
        found = imported("--app", app)
        if hasattr(found, "extend") and hasattr(found, "versions"):
            extend, folder = found.extend, folder or found.versions
        elif callable(found):
            extend = found
        else:
            raise ConfigurationError(
                f"--app {app} is of the type {type(found).__name__}. It has to be the function that a store has as "
                "extend=, or such a store."
            )
        _try(app, extend)
        return cls(True, extend, folder)

    @property
    def options(self) -> dict[str, Any]:
        """What a store is opened with."""
        return {"extend": self.extend, "versions": self.versions}


def imported(option: str, name: str) -> Any:
    """Return the object that an option names, as module:object.

    Raises ConfigurationError where it cannot be had.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module, _, inside = name.partition(":")
    if not module or not inside:
        raise ConfigurationError(f"{option} {name}: write module:object, such as shop.storage:extend.")
    try:
        return pkgutil.resolve_name(name)
    except Exception as error:  # the application's own code, which may raise anything
        raise ConfigurationError(
            f"{option} {name} cannot be imported from {os.getcwd()}: {type(error).__name__}: {error}."
        ) from error


def codec_named(option: str, name: str) -> Any:
    """Return the codec that an option names, or that the function makes that it names.

    Raises ConfigurationError where it cannot be had.
    """
    found = imported(option, name)
    try:
        codec = found() if callable(found) else found
    except Exception as error:  # the application's own code, which may raise anything
        raise ConfigurationError(f"{option} {name} fails: {type(error).__name__}.") from error
    if codec is None:  # to a store the same as no codec
        raise ConfigurationError(
            f"{option} {name} is None where a codec has to be: nothing would be sealed. Nothing was done. Has it found "
            "its key? Leave the option out to do without a codec."
        )
    return codec


def _try(app: str, extend: Extend | None) -> None:
    try:
        metadata(Names(), extend)
    except AgnoStoreError:
        raise
    except Exception as error:  # the application's own code, which may raise anything
        raise ConfigurationError(f"--app {app} fails: {type(error).__name__}: {error}.") from error
