"""Long texts in a store of objects that a program brings: what is put there, and when it is deleted.

An object is put there before the row that names it is committed, and deleted after the commit that deletes that row.
So no row names one that is not there; one that no row names, because a process was killed in between, is found by its
key and deleted when the store is pruned. Keys begin with what no other store's do, be it one at the same URL elsewhere.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Connection

from agno_store.clock import DAY, SECOND
from agno_store.dialects.waiting import called
from agno_store.errors import MediaUnavailable
from agno_store.media import MediaStore, Vanished, lost
from agno_store.names import Names

LEAST_AGE = DAY // SECOND
"""Seconds: the row that names a younger object may be about to be committed."""

AT_ONCE = 500
"""Objects that are looked for in the database, or deleted, at a time."""

_KEY = re.compile(r"[0-9a-f]{32}/[0-9a-f]{64}-([0-9a-f]+)-[0-9a-f]+")
"""A key behind the prefix: of the session, of the text, when it was given, and what no other one has."""


class Objects:
    """The objects of one store and tenant. Keys are given once: no two writers of one text have the same."""

    def __init__(self, store: MediaStore, origin: str, names: Names) -> None:
        self._store, self._origin, self._names = store, origin, names
        self._prefix, self._may_sweep = "", False
        self._leaving: WeakKeyDictionary[Connection, list[str]] = WeakKeyDictionary()

    @property
    def is_known(self) -> bool:
        """Whether it is known how the keys of this store begin."""
        return self._prefix != ""

    def know(self, begun: Sequence[Any] | None) -> None:
        """Have keys begin with what no other store's do: when this one was ``begun``, and where it is.

        Where nobody knows when that was, its keys may begin as another's, and nothing is swept.
        """
        self._may_sweep = begun is not None
        own = self._origin if begun is None else uuid5(NAMESPACE_URL, f"{self._origin}#{list(begun)}")
        self._prefix = f"{own}/"

    def put(self, session_id: str, parts: Mapping[str, str]) -> dict[str, str]:
        """Put texts there, and return their keys. Raises MediaUnavailable."""
        folder = f"{self._prefix}{sha256(session_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        places = {}
        for digest, letters in parts.items():
            key = f"{folder}/{digest}-{int(time.time()):x}-{secrets.token_hex(8)}"
            with self._named("write", [key]):
                called(self._store.put, key, letters.encode())
            places[digest] = key
        return places

    def of(self, places: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
        """Return the texts at these places, by session and digest; one that was damaged there is as if it had gone.

        Raises MediaUnavailable, and Vanished where one has just gone.
        """
        found = {name: self._get(key, name[1]) for name, key in places.items()}
        gone = {places[name] for name, text in found.items() if text is None}
        if not gone <= lost.get():
            raise Vanished(gone)
        return {name: text for name, text in found.items() if text is not None}

    def _get(self, key: str, digest: str) -> str | None:
        with self._named("read", [key]):
            try:
                data: bytes = called(self._store.get, key)
            except LookupError:
                return None
            return data.decode() if sha256(data).hexdigest() == digest else None

    # -- deleting -----------------------------------------------------------------------------

    def leave(self, c: Connection, keys: Iterable[str]) -> None:
        """Note objects whose rows a transaction deletes."""
        self._leaving.setdefault(c, []).extend(keys)

    def left(self, c: Connection) -> None:
        """Delete those of a transaction that is committed. Raises MediaUnavailable."""
        self.delete(self._leaving.pop(c, []))

    def sweep(self, named: Callable[[list[str]], set[str]]) -> None:
        """Delete this store's objects that are a day old and that no row names. Raises MediaUnavailable."""
        if not self._may_sweep:
            return
        with self._named("list", [self._prefix]):
            keys = iter(list(called(self._store.keys, self._prefix)))
        while some := list(islice(keys, AT_ONCE)):
            old = [key for key in some if self._is_old(key)]
            self.delete(sorted(set(old) - named(old)) if old else [])

    def _is_old(self, key: str) -> bool:
        found = _KEY.fullmatch(key.removeprefix(self._prefix)) if key.startswith(self._prefix) else None
        return found is not None and int(found[1], 16) < time.time() - LEAST_AGE

    def delete(self, keys: list[str]) -> None:
        """Delete objects that no row names. Raises MediaUnavailable."""
        for start in range(0, len(keys), AT_ONCE):
            with self._named("delete", keys[start:]):
                called(self._store.delete, keys[start : start + AT_ONCE])

    @contextmanager
    def _named(self, what: str, keys: list[str]) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the program's own code, which may raise anything
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            after = (
                "Nothing was changed in the database; call again when that is mended."
                if what in ("read", "write")
                else "What was stored or deleted in the database stays so; prune() tries again."
            )
            # Its words may hold a signed URL, or a key to the bucket.
            raise MediaUnavailable(
                f"{self._names}: media_store= could not {what} {keys[0]}{more}: {type(error).__name__}, whose own "
                f"words are in __cause__. {after}",
                keys=keys,
            ) from error
