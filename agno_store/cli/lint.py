"""The command that reads revisions before they are run: lint."""

from __future__ import annotations

import os

import typer

from agno_store.cli.app import app
from agno_store.cli.exits import Exit
from agno_store.cli.options import Json, Versions
from agno_store.cli.render import Output
from agno_store.errors import ConfigurationError


@app.command(epilog="Example:  agno-store lint --versions migrations/agno_store")
def lint(
    versions: Versions = None,
    json: Json = False,
) -> None:
    """Find what would lock a table, lose data or meet another store, before it is run. Touches no database."""
    from agno_store.migrations import lint as rules
    from agno_store.migrations.scripts import in_checkout

    output = Output(json)
    own = in_checkout()
    if versions is None and not own:
        raise typer.BadParameter("say where your application's revisions are.", param_hint="--versions")
    if versions is not None and not versions.is_dir():
        raise ConfigurationError(f"There is no folder {versions}.")
    folder = None if versions is None else versions.absolute()
    findings = rules.lint(folder, own=own)
    read = len(rules.revisions(folder, own=own))
    output.document({"revisions": read, "findings": [finding.to_dict() for finding in findings]})
    for finding in findings:
        output.line(f"{_shown(finding.file)}:{finding.line}: {finding.rule}: {finding.message}\n")
    many = f"{read} revision{'' if read == 1 else 's'}"
    output.line(
        f"{len(findings)} finding{'' if len(findings) == 1 else 's'} in {many}", "yellow" if findings else "green"
    )
    raise typer.Exit(Exit.FAILED if findings else Exit.IN_STEP)


def _shown(file: str) -> str:
    """Return a path as seen from here, where it is below."""
    path = os.path.relpath(file)
    return file if path.startswith(os.pardir) else path
