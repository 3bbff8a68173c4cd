"""``agno-store rekey``: everything sealed with the codec's current key."""

from __future__ import annotations

from contextlib import closing

import typer

from agno_store.cli.app import app
from agno_store.cli.exits import Exit
from agno_store.cli.gathering import gathered
from agno_store.cli.options import Json, Where
from agno_store.cli.render import Output
from agno_store.errors import AgnoStoreError
from agno_store.records import Rekeyed


@app.command(epilog="Example:  agno-store rekey --db-url sqlite:///agents.db --codec shop.storage:codec")
@gathered(where=Where)
def rekey(where: Where, json: Json = False) -> None:
    """Seal with the codec's current key what another key has sealed, or none. May be interrupted, and run again."""
    output, done = Output(json), Rekeyed()
    with closing(where.opened()) as db:
        db.schema_status().raise_unless_usable()  # or else to use it would make it
        try:
            with output.progress(f"{db.names}: sealing", None, 0) as advance:

                def note(sealed: Rekeyed) -> None:
                    nonlocal done
                    done = sealed
                    advance(sealed.rows, None)

                done = db.rekey(on_progress=note)
        except (KeyboardInterrupt, AgnoStoreError):
            output.note(f"{db.names}: stopped after {_said(done)}. They stay sealed; run it again to go on.")
            raise
    code = Exit.FAILED if done.left else Exit.IN_STEP
    output.document({"store": str(db.names), **done._asdict(), "exit_code": int(code)})
    output.line(f"{db.names}: {_said(done)} sealed", "green")
    if done.left:
        output.note(
            f"{done.left} payloads cannot be opened by this codec, or are too large sealed, and stay as they are"
        )
    raise typer.Exit(code)


def _said(done: Rekeyed) -> str:
    return f"{done.sessions} sessions, {done.runs} runs and {done.summaries} summaries"
