"""The command that looks at everything: doctor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import typer

from agno_store.cli.app import app
from agno_store.cli.application import Application
from agno_store.cli.exits import Exit, code_of
from agno_store.cli.options import App, Json, Pooler, SchemaName, TableName, Url, Versions, opened
from agno_store.cli.render import Output
from agno_store.dialects.findings import ERROR, OK, WARNING, Finding
from agno_store.errors import AgnoStoreError
from agno_store.names import DEFAULT

_STYLES = {OK: "green", WARNING: "yellow", ERROR: "red"}

_GRAVEST = (Exit.UNREACHABLE, Exit.AHEAD, Exit.BEHIND, Exit.DRIFTED)
"""What the exit code tells first; any other error is a failure like every other."""


@app.command(epilog="Example:  agno-store doctor --db-url sqlite:///agents.db")
def doctor(
    db_url: Url = None,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    pooler: Pooler = None,
    application: App = None,
    versions: Versions = None,
    json: Json = False,
) -> None:
    """Look at the database, the role, the settings and the tables, and say what helps. Writes nothing."""
    from agno_store.doctor import diagnose

    output, added = Output(json), Application.named(application, versions)
    with closing(opened(db_url, table, schema, pooler=pooler, **added.options)) as db:
        found = diagnose(db)
        code, error = verdict(found)
        failed = output.error(error, code) if error is not None else {}
        findings = [finding.to_dict() for finding in found]
        output.document(
            {**failed, "store": str(db.names), "url": db.db_url, "findings": findings, "exit_code": int(code)}
        )
        output.line(f"{db.names} at {db.db_url}")
        for finding in found:
            _say(output, finding)
        if error is not None:
            output.complaint(error)
    raise typer.Exit(code)


def verdict(found: Sequence[Finding]) -> tuple[Exit, AgnoStoreError | None]:
    """Return the exit code for what was found, and the error that it is for. Warnings are no failure."""
    errors = [finding.error for finding in found if finding.error is not None]
    errors += [AgnoStoreError(finding.message) for finding in found if finding.level == ERROR]
    of_code = {code_of(error): error for error in reversed(errors)}
    for code in _GRAVEST:
        if code in of_code:
            return code, of_code[code]
    return (Exit.FAILED, errors[0]) if errors else (Exit.IN_STEP, None)


def _say(output: Output, finding: Finding) -> None:
    output.line(f"  {finding.level:<8} {finding.subject}: {finding.message}", _STYLES[finding.level])
    if finding.level != OK:
        output.line(f"{'':<11}{finding.cure}")
