"""``agno-store schema``: the tables, their columns and indexes, and the revisions that brought them."""

from __future__ import annotations

from typing import Annotated

import typer

from agno_store.cli import catalogue, diagram
from agno_store.cli.app import app
from agno_store.cli.options import Json, SchemaName, TableName, is_given
from agno_store.cli.render import Output
from agno_store.errors import InvalidArgument
from agno_store.names import DEFAULT, Names


@app.command("schema", epilog="Example:  agno-store schema --erd > store.mmd")
def describe(
    context: typer.Context,
    table: TableName = DEFAULT,
    schema: SchemaName = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/schema.md.")] = False,
    erd: Annotated[bool, typer.Option("--erd", help="As an entity-relationship diagram for Mermaid.")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="As a drawing.")] = False,
    json: Json = False,
) -> None:
    """Show the tables that this release works with, and since which revision. Touches no database."""
    output, names = Output(json), Names(table, schema)
    if markdown + erd + svg + is_given(context, "json") > 1:
        raise InvalidArgument("--markdown, --erd, --svg and --json: one at a time.")
    found = catalogue.tables(names)
    if markdown or erd or svg:
        Output().text(catalogue.markdown(names) if markdown else catalogue.erd(names) if erd else diagram.svg(found))
        return
    output.document({"tables": [each.to_dict() for each in found], "types": catalogue.typed()})
    with output.paged():
        for each in found:
            _say(output, each)


def _say(output: Output, table: catalogue.Table) -> None:
    columns = [
        [
            column.name,
            column.type,
            "" if column.nullable else "not null",
            "key" if column.primary_key else "",
            column.since or "",
            column.what.replace("`", ""),
        ]
        for column in table.columns
    ]
    since = f", since {table.since}" if table.since else ""
    output.table(f"{table.name}: {table.what}{since}", ("column", "type", "", "", "since", ""), columns)
    for index in table.indexes:
        kind = "unique" if index.unique else "index"
        output.line(f"  {kind} {index.name} ({', '.join(index.columns)}), since {index.since}")
    if table.refers_to:
        output.line(f"  session_id refers to {table.refers_to}, on delete cascade")
    output.line("")
