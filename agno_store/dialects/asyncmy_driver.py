"""asyncmy as a store uses it, and how that and aiomysql are connected."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

CONNECTION_ERROR = 2003
"""https://dev.mysql.com/doc/mysql-errors/8.4/en/client-error-reference.html"""


async def connected(connect: Callable[..., Any], errors: Any, *args: Any, connect_timeout: float, **kwargs: Any) -> Any:
    """Connect with an asynchronous driver, the server's greeting included in the time there is."""
    try:
        made = await asyncio.wait_for(connect(*args, connect_timeout=connect_timeout, **kwargs), connect_timeout)
    except asyncio.TimeoutError as error:
        raise errors.OperationalError(
            CONNECTION_ERROR, f"the server did not answer within {connect_timeout:g} seconds"
        ) from error
    wait_by_timer(made)
    return made


def without_warnings(cursor: Any) -> Any:
    """Return a class of cursors that asks for no warnings: asyncmy would fetch and log each of them."""
    show_none = {"_show_warnings": lambda _cursor, _connection: asyncio.sleep(0)}
    return type("Cursor", (cursor,), show_none)


def wait_by_timer(connection: Any) -> None:
    """Have a connection wait for answers with a timer of its loop, as long as its ``read_timeout`` says.

    asyncmy waits with ``asyncio.wait_for``, which before Python 3.12 makes a task of each wait: two more passes of the
    loop for every answer. Other drivers, and releases of asyncmy that wait in another way, are left as they are.
    """
    protocol: Any = getattr(connection, "_proto", None)
    seconds = getattr(connection, "_read_timeout", None)
    if not seconds or not hasattr(protocol, "wait_for_data") or not hasattr(protocol, "_read_waiter"):
        return
    this, usual = weakref.ref(protocol), type(protocol).wait_for_data

    async def wait_for_data(*need: int) -> None:  # 0.2.13 and 0.2.14 do not say how much
        waiting: Any = this()
        timer = asyncio.get_running_loop().call_later(seconds, _give_up, waiting, seconds)
        try:
            await usual(waiting, *need)
        finally:
            timer.cancel()

    protocol.wait_for_data = wait_for_data
    connection._read_timeout = None


def _give_up(protocol: Any, seconds: float) -> None:
    if protocol._read_waiter is None:  # a loop that was blocked for as long has found the answer in this very pass
        return
    protocol.exc = TimeoutError(f"the server did not answer within {seconds:g} seconds")  # which asyncmy tells
    protocol.transport.abort()
