"""A program's own part in a store: what it lets be stored, where, what it is told, and what payloads pass through."""

from __future__ import annotations

import inspect
from typing import Any

from agno_store.errors import ConfigurationError
from agno_store.hooks import BeforeWrite, OnAppend, PayloadCodec
from agno_store.media import MediaStore, checked_size, checked_store
from agno_store.names import Names
from agno_store.operations.base import Base
from agno_store.store import Store


class HookedOperations(Base):
    """A store that may have hooks."""

    names: Names

    def _hook(self, before_write: BeforeWrite | None, on_append: OnAppend | None, codec: PayloadCodec | None) -> None:
        """Take hooks into use. Raises ConfigurationError for what cannot be called, and for what is no codec."""
        if before_write is not None:
            self._before_write = _called("before_write", before_write)
        if codec is not None:
            self._seal(codec)
        if on_append is not None:
            self._tell(_called("on_append", on_append))

    def _seal(self, codec: PayloadCodec) -> None:
        from agno_store.envelope import checked_key_id
        from agno_store.sealing import Sealing

        if not isinstance(codec, PayloadCodec):
            raise ConfigurationError(  # and no word of what it is: it may be the keys themselves
                f"codec= is given a {type(codec).__name__}: it must have key_id, encode() and decode(), as a "
                "PayloadCodec."
            )
        checked_key_id(codec.key_id)
        tenant_id = self._store.tenant_id
        self._store = Store(self.names, tenant_id, Sealing(codec, tenant_id, self._store.sending))

    def _keep_apart(self, media_over: int | None, media_store: MediaStore | None) -> None:
        """Keep long texts beside their runs.

        Raises ConfigurationError for a store that seals, for no size and for no store of objects.
        """
        if self._store.sending.key_id is not None and (media_over is not None or media_store is not None):
            raise ConfigurationError(
                "media_over= and media_store= go with no codec=: what is kept beside runs is not sealed. Leave "
                "them out; texts that are beside runs already are read, and rekey() seals them in their runs."
            )
        self.media_over = self._store.media_over = checked_size(media_over)
        if media_store is not None:
            from agno_store.objects import Objects

            self._store.objects = Objects(checked_store(media_store), self._origin, self.names)

    def _tell(self, on_append: OnAppend) -> None:
        from agno_store.appends import Appends

        appends = Appends(on_append, self._store.tenant_id)
        self._store.quick.note = appends.note
        # On the object, so that all other stores have the methods of their class as they are.
        vars(self)["_once"] = appends.once(self._once)
        vars(self).update({name: appends.told(getattr(self, name)) for name in ("_put", "_write")})


def _called(name: str, hook: Any) -> Any:
    """Return a hook. Raises ConfigurationError for what is no function that answers when it is called."""
    if not callable(hook) or any(map(inspect.iscoroutinefunction, (hook, type(hook).__call__))):
        raise ConfigurationError(f"{name}={hook!r}: it must be a function, and no coroutine function.")
    return hook
