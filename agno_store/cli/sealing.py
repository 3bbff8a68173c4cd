"""``agno-store rekey``: everything sealed with the codec's current key."""

from __future__ import annotations

from contextlib import closing

import typer

from agno_store.cli.app import app
from agno_store.cli.exits import Exit
from agno_store.cli.gathering import gathered
from agno_store.cli.options import Json, Where
from agno_store.cli.render import Output, counted
from agno_store.cli.reporting import rows_of, watched
from agno_store.counts import Rekeyed


@app.command(epilog="Example:  agno-store rekey --db-url sqlite:///agents.db --codec shop.storage:codec")
@gathered(where=Where)
def rekey(where: Where, json: Json = False) -> None:
    """Seal with the codec's current key what another key has sealed, or none. May be interrupted, and run again."""
    output = Output(json)
    with closing(where.opened()) as db:
        db.schema_status().raise_unless_usable()  # or else to use it would make it
        done = watched(output, db, ("sealing", "sealed"), db.rekey, Rekeyed(), None)
    code = Exit.FAILED if done.left else Exit.IN_STEP
    output.document({"store": str(db.names), **done._asdict(), "exit_code": int(code)})
    output.line(f"{db.names}: {rows_of(done)} sealed", "green")
    if done.left:
        left = counted(done.left, "payload")
        output.note(f"{left} cannot be opened by this codec, or too large once sealed, and left as stored")
    raise typer.Exit(code)
