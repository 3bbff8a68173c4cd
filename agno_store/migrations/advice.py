"""The rules for revisions: why each is one, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

_IN_TWO_RELEASES = (
    "Processes of the release before still use it while this one starts, and there is no way back to what it held."
)
_UNDER_A_LOCK = (
    "Every table that was there before counts as large. The statement goes through all of its rows, while writers, "
    "and mostly readers too, queue up behind it."
)
_TWO_STORES = "Any number of stores may live in one database: a second one would meet the name of the first."
_AN_INDEX = 'op.create_index(f"ix_{n.sessions}_title", n.sessions, ["title"], schema=n.schema)'

ADVICE: Mapping[str, tuple[str, str]] = {
    "drop-table": (
        _IN_TWO_RELEASES,
        "let one release stop using the table, and drop it in a revision of a later one that says so:\n"
        "# allow drop-table: nothing uses it since 0.4.0\n"
        "op.drop_table(...)",
    ),
    "drop-column": (
        _IN_TWO_RELEASES + " On SQLite the whole table is rebuilt for it.",
        "let one release stop using the column, and drop it in a revision of a later one that says so:\n"
        "# allow drop-column: nothing uses it since 0.4.0\n"
        "op.drop_column(...)",
    ),
    "rename-table": (
        "Processes of the release before look for the old name while this one starts.",
        "make the new table, write to both, copy the rows in a backfill, and drop the old one in a later release.",
    ),
    "rename-column": (
        "Processes of the release before look for the old name while this one starts. On SQLite the whole table is "
        "rebuilt for it.",
        "add the new column, write to both, fill it in a backfill, and drop the old one in a later release:\n"
        'op.add_column(n.sessions, sa.Column("title", types.TEXT), schema=n.schema)',
    ),
    "not-null-without-default": (
        "It fails where there are rows without a value, and those that the release before goes on writing have none. "
        "To look for them takes a lock through the whole table.",
        "leave the column nullable, or give it a constant default, which needs no rows to be touched:\n"
        'sa.Column("title", types.TEXT)\n'
        'sa.Column("tokens", types.COUNT, nullable=False, server_default=sa.text("0"))',
    ),
    "index-in-create-table": (
        "A process killed between the table and its index leaves a table that the next run takes for finished.",
        f"build it by itself, which a second run looks up by itself:\n{_AN_INDEX}",
    ),
    "index-in-add-column": (
        "A process killed between the column and its index leaves a column that the next run takes for finished.",
        f"build it by itself, which a second run looks up by itself:\n{_AN_INDEX}",
    ),
    "drop-index-without-table": (
        "MySQL needs the table's name to find the index, and so does a second run to see that it is gone.",
        'name it:\nop.drop_index(f"ix_{n.sessions}_title", n.sessions, schema=n.schema)',
    ),
    "unnamed-constraint": (
        "A name that the database makes up differs from one to the next, so no later revision can find it. "
        + _TWO_STORES,
        "make the name from the table's:\n"
        'sa.PrimaryKeyConstraint("tag_id", name=f"pk_{n.sessions}_tags")\n'
        'sa.UniqueConstraint("session_id", "tag", name=f"uq_{n.sessions}_tags_session_id_tag")',
    ),
    "change-type": (
        _UNDER_A_LOCK + " On SQLite the whole table is rebuilt for it.",
        "add a column of the new type, write to both, fill it in a backfill, and drop the old one in a later release:\n"
        'op.add_column(n.sessions, sa.Column("title_long", types.TEXT), schema=n.schema)',
    ),
    "constraint-on-existing-table": (
        _UNDER_A_LOCK + " It fails at the first row that does not comply. On SQLite the whole table is rebuilt for it.",
        "give constraints to new tables, inside create_table; instead of a unique constraint build a unique index, "
        "which is built beside the writers of a large table:\n"
        'op.create_index(f"uq_{n.runs}_title", n.runs, ["title"], unique=True, schema=n.schema)',
    ),
    "rewrite-on-add": (
        _UNDER_A_LOCK + " SQLite refuses a default that is not constant in ADD COLUMN.",
        "add the column without a default, and fill it in a backfill; instead of a stored generated column index the "
        "expression:\n"
        'sa.Column("seen_at", types.TIME)\n'
        'op.create_index(f"ix_{n.sessions}_lower_name", n.sessions, [sa.text("(lower(name_folded))")], '
        "schema=n.schema)",
    ),
    "data-in-revision": (
        "The rows stay locked until the revision is committed, the upgrade lasts as long as they are many, and where "
        "DDL cannot be rolled back a killed upgrade does it a second time.",
        "leave them to a backfill of the revision, which is called with some keys at a time, in small transactions, "
        "after the upgrade:\n"
        'backfills = "sessions"\n\n'
        "def backfill(connection, n, keys):\n"
        '    rows = sa.table(n.sessions, sa.column("session_id"), sa.column("title"), schema=n.schema)\n'
        "    these = rows.c.session_id.in_([session_id for (session_id,) in keys])\n"
        '    connection.execute(sa.update(rows).where(these, rows.c.title.is_(None)).values(title="..."))',
    ),
    "raw-sql": (
        "Nobody can tell from it what it does: neither this check, nor the plan of an upgrade, nor a second run, which "
        "fails where the first one got. What one database understands another one may not.",
        "use the operation for it, such as op.create_table, op.add_column or op.create_index.",
    ),
    "fixed-name": (
        _TWO_STORES,
        f"make every name from n.sessions, n.runs or n.summaries, and take the schema from n.schema:\n{_AN_INDEX}",
    ),
    "no-schema": (
        "A store with db_schema= has its tables there; this would look for them in the connection's own schema.",
        "say schema=n.schema, and in foreign keys n.qualify:\n"
        'op.add_column(n.sessions, sa.Column("title", types.TEXT), schema=n.schema)\n'
        'sa.ForeignKeyConstraint(["session_id"], [n.qualify(n.sessions, "session_id")], '
        'name=f"fk_{n.sessions}_tags_session_id")',
    ),
    "missing-downgrade": (
        "Without one nobody can go back to the release before.",
        "undo in reverse order what upgrade does, or say why that cannot be:\n"
        "def downgrade(op, n):\n"
        '    raise NotImplementedError("the rows that were merged cannot be told apart again")',
    ),
    "import": (
        "A revision must do the same for ever. What it imports changes under it, or will be gone; and alembic.op is "
        "a global that two threads upgrading two stores would share.",
        "import sqlalchemy, agno_store.types and Python's own modules, and copy in the little else that is needed:\n"
        "import sqlalchemy as sa\n\nfrom agno_store import types",
    ),
    "missing-release": (
        "Nobody could tell which release a store needs, and which releases still work with it.",
        "say which release brings the revision, and which is the oldest that still works with it:\n"
        'release = "0.2.0"\nworks_with = "0.1.0"',
    ),
    "missing-requires": (
        "Nobody could tell when it may be run, or which revisions a downgrade of agno_store must take back first.",
        'name the revision of agno_store that it was made for:\nrequires = "0003"',
    ),
    "incomplete-backfill": (
        "A backfill walks one table by its key, and needs both: the table and what to do with some rows of it.",
        'say both:\nbackfills = "sessions"  # or "runs" or "summaries"\n\ndef backfill(connection, n, keys):\n    ...',
    ),
    "needs-database": (
        "What it does then cannot be told beforehand: neither checked, nor planned, nor written as a script. Only "
        "op.get_bind().dialect may be asked.",
        "use operations that do not depend on what is there; rows belong to a backfill.",
    ),
    "fails": (
        "An upgrade would end here.",
        "take op and n as arguments, and what they offer:\n"
        "def upgrade(op, n):\n"
        '    op.add_column(n.sessions, sa.Column("title", types.TEXT), schema=n.schema)',
    ),
}
"""For each rule why it is one, and what to write instead; code from the second line on."""

ON_MARKERS: Mapping[str, str] = {
    "marker-without-reason": "Say why it is safe here, for whoever reads it next: # allow {rule}: <reason>",
    "unknown-rule": "The rules are " + ", ".join(sorted(ADVICE)) + ".",
    "unused-marker": "Nothing on this line, or on the one below, breaks that rule. Delete the marker.",
}
"""What to do about a marker that is wrong; no marker allows these."""


def message(rule: str, what: str) -> str:
    """Return all that there is to say of a finding: what, why, what instead, and how to allow it."""
    why, instead = ADVICE[rule]
    text, _, code = instead.partition("\n")
    lines = [f"{what}.", why, f"Instead, {text}", *(f"    {line}".rstrip() for line in code.splitlines())]
    return "\n".join([*lines, f"To allow it: # allow {rule}: <why it is safe here>"])
