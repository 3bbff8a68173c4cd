"""Each rule finds the revision that breaks it, lets the good form pass, and can be allowed with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_store.errors import ConfigurationError
from agno_store.migrations.advice import ADVICE, ON_MARKERS
from agno_store.migrations.lint import Finding, lint, revisions
from agno_store.tables import REVISIONS
from tests.migrations.revisions import HEAD, VARIABLES, line, write

COLUMN = 'op.add_column(n.runs, sa.Column("tokens", types.COUNT{}), schema=n.schema)'
TAGS = 'op.create_table(f"{{n.sessions}}_tags", sa.Column("tag", types.ID{}){}, schema=n.schema)'
FORGET_TAGS = 'def downgrade(op, n):\n    op.drop_table(f"{n.sessions}_tags", schema=n.schema)'


def found(folder: Path) -> list[tuple[str, int]]:
    """Return the rules that the application's revisions break, with the lines."""
    return [(finding.rule, finding.line) for finding in lint(folder, own=False)]


def rules(folder: Path) -> set[str]:
    return {rule for rule, _ in found(folder)}


BAD: dict[str, list[str]] = {
    "drop-table": ["op.drop_table(n.runs, schema=n.schema)"],
    "rename-table": ['op.rename_table(n.runs, f"{n.runs}_old", schema=n.schema)'],
    "drop-column": [
        'op.drop_column(n.runs, "status", schema=n.schema)',
        'with op.batch_alter_table(n.runs, schema=n.schema) as batch:\n    batch.drop_column("status")',
        'if op.get_bind().dialect.name == "mariadb":\n    op.drop_column(n.runs, "status", schema=n.schema)',
    ],
    "rename-column": ['op.alter_column(n.runs, "status", new_column_name="state", schema=n.schema)'],
    "change-type": ['op.alter_column(n.runs, "status", type_=types.TEXT, schema=n.schema)'],
    "not-null-without-default": [
        COLUMN.format(", nullable=False"),
        'op.alter_column(n.runs, "status", nullable=False, schema=n.schema)',
    ],
    "rewrite-on-add": [
        COLUMN.format(', server_default=sa.text("random()")'),
        COLUMN.format(', server_default=sa.text("(1 + 1)")'),
        COLUMN.format(", server_default=sa.func.now()"),
        COLUMN.format(', server_default=sa.text("CURRENT_TIMESTAMP")'),
        COLUMN.format(', sa.Computed("run_index + 1", persisted=True)'),
        COLUMN.format(', sa.Computed("run_index + 1")'),
        COLUMN.format(", sa.Identity()"),
    ],
    "index-in-create-table": [
        TAGS.format(", index=True", ""),
        TAGS.format("", ', sa.Index(f"ix_{n.sessions}_tags_tag", "tag")'),
    ],
    "index-in-add-column": [COLUMN.format(", index=True")],
    "drop-index-without-table": ['op.drop_index(f"ix_{n.runs}_run_id", schema=n.schema)'],
    "unnamed-constraint": [
        TAGS.format(", primary_key=True", ""),
        TAGS.format(", unique=True", ""),
        TAGS.format("", ', sa.PrimaryKeyConstraint("tag")'),
        TAGS.format("", ', sa.PrimaryKeyConstraint("tag", name="pk_tags")'),
        TAGS.format("", ", sa.CheckConstraint(\"tag <> ''\")"),
        TAGS.format("", ', sa.ForeignKeyConstraint(["tag"], [n.qualify(n.sessions, "session_id")])'),
        TAGS.format(', sa.ForeignKey(n.qualify(n.sessions, "session_id"))', ""),
        'op.create_index(None, n.runs, ["status"], schema=n.schema)',
        COLUMN.format(", unique=True"),
        TAGS.format("", "")
        + '\nop.create_check_constraint("ck_tag", f"{n.sessions}_tags", sa.text("true"), schema=n.schema)',
        'op.drop_constraint("uq_runs", n.runs, type_="unique", schema=n.schema)',
    ],
    "constraint-on-existing-table": [
        'op.create_unique_constraint(f"uq_{n.runs}_x", n.runs, ["x"], schema=n.schema)',
        'op.create_check_constraint(f"ck_{n.runs}_x", n.runs, sa.text("x > 0"), schema=n.schema)',
        'op.create_foreign_key(f"fk_{n.runs}_x", n.runs, n.sessions, ["x"], ["session_id"], '
        "source_schema=n.schema, referent_schema=n.schema)",
        'with op.batch_alter_table(n.runs, schema=n.schema) as b:\n    b.create_primary_key(f"pk_{n.runs}", ["x"])',
        COLUMN.format(", unique=True"),
        COLUMN.format(', sa.CheckConstraint("tokens > 0", name=f"ck_{n.runs}_tokens")'),
        COLUMN.format(', sa.ForeignKey(n.qualify(n.sessions, "session_id"), name=f"fk_{n.runs}_tokens")'),
    ],
    "data-in-revision": [
        'op.execute(sa.update(sa.table(n.runs, sa.column("version"), schema=n.schema)).values(version=2))',
        'op.execute(f"UPDATE {n.schema}.{n.runs} SET version = 2")',
        'op.execute(f"/* all */ DELETE FROM {n.schema}.{n.runs}")',
        'op.execute(f"INSERT INTO {n.schema}.{n.runs} SELECT * FROM {n.schema}.{n.runs}")',
        'op.execute(f"WITH old AS (SELECT 1) UPDATE \\"{n.schema}\\".\\"{n.runs}\\" SET version = 2")',
        'op.bulk_insert(sa.table(n.runs, sa.column("version"), schema=n.schema), [{"version": 1}])',
    ],
    "raw-sql": [
        'op.execute(f"CREATE INDEX ix_{n.runs}_x ON {n.schema}.{n.runs} (x)")',
        'op.execute(f"CREATE TRIGGER t_{n.runs} AFTER INSERT ON {n.runs} BEGIN UPDATE x SET y = 1; END")',
    ],
    "fixed-name": [
        'op.add_column("agent_sessions_runs", sa.Column("tokens", types.COUNT), schema=n.schema)',
        'op.create_index("ix_runs_status", n.runs, ["status"], schema=n.schema)',
        'op.create_index(f"ix_{n.schema}_status", n.runs, ["status"], schema=n.schema)',
        'op.create_index(f"ix_{n.runs}_status", n.runs, ["status"], schema="public")',
        'op.create_table("tags", sa.Column("tag", types.ID), schema=n.schema)',
        TAGS.format("", ', sa.Index("ix_tags", "tag")'),
        TAGS.format(', sa.ForeignKey("linted_schema.agent_sessions.session_id", name=f"fk_{n.sessions}_tags")', ""),
        'with op.batch_alter_table("agent_sessions", schema=n.schema) as batch:\n'
        '    batch.add_column(sa.Column("tokens", types.COUNT))',
        'op.add_column(n.runs, sa.Column("mood", sa.Enum("good", "bad", name="mood")), schema=n.schema)',
    ],
    "no-schema": [
        'op.add_column(n.runs, sa.Column("tokens", types.COUNT))',
        'op.create_index(f"ix_{n.runs}_status", n.runs, ["status"])',
        'with op.batch_alter_table(n.runs) as batch:\n    batch.add_column(sa.Column("tokens", types.COUNT))',
        TAGS.format(', sa.ForeignKey(f"{n.sessions}.session_id", name=f"fk_{n.sessions}_tags")', ""),
        COLUMN.format(', sa.ForeignKey(f"{n.sessions}.session_id", name=f"fk_{n.runs}_tokens")'),
        TAGS.format("", "")
        + '\nop.create_foreign_key(f"fk_{n.sessions}_x", f"{n.sessions}_tags", n.runs, ["x"], ["y"], '
        "source_schema=n.schema)",
    ],
    "needs-database": ['op.get_bind().execute(sa.text("SELECT 1"))', "sa.inspect(op.get_bind())"],
    "fails": ['op.add_colum(n.runs, sa.Column("tokens", types.COUNT))', "raise ValueError(n.runs)"],
}
"""Bodies of upgrade(), each of which breaks a rule, and maybe others."""

GOOD = {
    "a column": COLUMN.format(""),
    "a column with a constant default": COLUMN.format(', nullable=False, server_default=sa.text("0")'),
    "a text default": COLUMN.format(', nullable=False, server_default="it\'s"'),
    "a default in brackets": COLUMN.format(', server_default=sa.text("(0)")'),
    "a cast default": COLUMN.format(", server_default=sa.text(\"'{}'::json\")"),
    "a truth": COLUMN.format(", nullable=False, server_default=sa.false()"),
    "a virtual column where the database has them": (
        'if op.get_context().dialect.name == "sqlite":\n    '
        + COLUMN.format(', sa.Computed("run_index + 1", persisted=False)')
    ),
    "an index": 'op.create_index(f"ix_{n.runs}_status", n.runs, ["status"], schema=n.schema)',
    "an index in a batch": (
        "with op.batch_alter_table(n.runs, schema=n.schema) as batch:\n"
        '    batch.create_index(f"ix_{n.runs}_status", ["status"])'
    ),
    "a dropped index": 'op.drop_index(f"ix_{n.runs}_run_id", n.runs, schema=n.schema)',
    "a dropped constraint": 'op.drop_constraint(f"uq_{n.runs}_x", n.runs, type_="unique", schema=n.schema)',
    "NULL allowed": 'op.alter_column(n.runs, "status", nullable=True, schema=n.schema)',
    "a default": 'op.alter_column(n.runs, "status", server_default="new", schema=n.schema)',
    "a table": TAGS.format(
        ', sa.ForeignKey(n.qualify(n.sessions, "session_id"), name=f"fk_{n.sessions}_tags_tag")',
        ', sa.PrimaryKeyConstraint("tag", name=f"pk_{n.sessions}_tags"), **types.TABLE',
    ),
    "what is done to a new table": TAGS.format("", "")
    + """
tags = f"{n.sessions}_tags"
op.add_column(tags, sa.Column("n", types.COUNT, nullable=False), schema=n.schema)
op.alter_column(tags, "n", type_=types.TEXT, nullable=False, new_column_name="m", schema=n.schema)
op.create_unique_constraint(f"uq_{tags}_m", tags, ["m"], schema=n.schema)
op.drop_column(tags, "m", schema=n.schema)
op.rename_table(tags, f"{tags}_old", schema=n.schema)
op.drop_table(f"{tags}_old", schema=n.schema)
""",
    "nothing": "pass",
}


@pytest.mark.parametrize("name", GOOD)
def test_the_good_form_passes(tmp_path: Path, name: str) -> None:
    assert lint(write(tmp_path, GOOD[name]), own=False) == []


@pytest.mark.parametrize(
    ("rule", "upgrade"), [(rule, upgrade) for rule, upgrades in BAD.items() for upgrade in upgrades]
)
def test_a_rule_finds_what_breaks_it(tmp_path: Path, rule: str, upgrade: str) -> None:
    folder = write(tmp_path, upgrade)
    assert rule in rules(folder)


@pytest.mark.parametrize("rule", BAD)
def test_a_broken_rule_is_allowed_by_a_marker_with_a_reason(tmp_path: Path, rule: str) -> None:
    before = write(tmp_path / "before", BAD[rule][0])
    broken = found(before)
    allowing = ", ".join(sorted({rule for rule, _ in broken}))
    assert len({line for _, line in broken}) == 1
    after = write(tmp_path / "after", f"# allow {allowing}: nobody uses it\n{BAD[rule][0]}")
    assert found(after) == []


OF_THE_TEXT: dict[str, dict[str, str]] = {
    "import": {"head": HEAD + "from agno_store.names import Names\n"},
    "missing-downgrade": {"downgrade": ""},
    "missing-requires": {"variables": VARIABLES.replace('requires = "0003"\n', "")},
    "missing-release": {"variables": VARIABLES.replace('"app1"', '"9999"').replace("None", '"0003"')},
    "incomplete-backfill": {"variables": VARIABLES + 'backfills = "runs"\n'},
}


def test_there_is_a_test_for_every_rule() -> None:
    assert {*BAD, *OF_THE_TEXT} == set(ADVICE)


@pytest.mark.parametrize("rule", OF_THE_TEXT)
def test_a_rule_for_the_text_finds_what_breaks_it(tmp_path: Path, rule: str) -> None:
    options = dict(OF_THE_TEXT[rule])
    if rule == "missing-release":
        options["variables"] = options["variables"].replace('branch_labels = ("application",)', "")
        folder = write(tmp_path, GOOD["a column"], name="9999_first", **options)
        broken = [finding for finding in lint(folder) if finding.rule == rule]
        assert len(broken) == 2
        return
    assert rules(write(tmp_path, GOOD["a column"], **options)) == {rule}


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("import json\nfrom datetime import timezone", True),
        ("from sqlalchemy.dialects import postgresql", True),
        ("from __future__ import annotations", True),
        ("from alembic import op", False),
        ("import agno_store", False),
        ("from agno_store.tables import HEAD", False),
        ("import pytest", False),
    ],
)
def test_a_revision_imports_only_what_stays_as_it_is(tmp_path: Path, text: str, allowed: bool) -> None:
    head = f"{text}\n{HEAD}"
    folder = write(tmp_path, GOOD["a column"], head=head)
    (folder / "app1_first.py").write_text((folder / "app1_first.py").read_text().replace('"""what', '"""What', 1))
    assert found(folder) == ([] if allowed else [("import", line(folder, text.splitlines()[0]))])


def test_a_relative_import_and_one_inside_a_function_are_found(tmp_path: Path) -> None:
    folder = write(tmp_path, "from agno_store import names\npass\n" + GOOD["a column"])
    assert found(folder) == [("import", line(folder, "import names"))]


@pytest.mark.parametrize(
    ("downgrade", "missing"),
    [
        ("def downgrade(op, n):\n    pass", True),
        ('def downgrade(op, n):\n    """Nothing."""\n    ...', True),
        ('def downgrade(op, n):\n    """Nothing."""', True),
        ('def downgrade(op, n):\n    raise NotImplementedError("why")', False),
    ],
)
def test_an_empty_downgrade_is_a_missing_one_and_a_refusal_is_not(
    tmp_path: Path, downgrade: str, missing: bool
) -> None:
    assert rules(write(tmp_path / "one", GOOD["a column"], downgrade=downgrade)) == (
        {"missing-downgrade"} if missing else set()
    )
    assert rules(write(tmp_path / "other", "pass", downgrade=downgrade)) == set()


@pytest.mark.parametrize(
    ("downgrade", "rule"),
    [
        ('def downgrade(op, n):\n    op.drop_column("agent_sessions", "tokens", schema=n.schema)', "fixed-name"),
        ('def downgrade(op, n):\n    op.drop_column(n.runs, "tokens")', "no-schema"),
        ('def downgrade(op, n):\n    op.get_bind().execute("SELECT 1")', "needs-database"),
    ],
)
def test_a_downgrade_must_not_meet_another_store_either(tmp_path: Path, downgrade: str, rule: str) -> None:
    assert rules(write(tmp_path, GOOD["a column"], downgrade=downgrade)) == {rule}


def test_a_downgrade_may_drop_what_upgrade_makes(tmp_path: Path) -> None:
    assert found(write(tmp_path, GOOD["a table"], downgrade=FORGET_TAGS)) == []


def test_a_backfill_with_its_table_passes(tmp_path: Path) -> None:
    variables = VARIABLES + 'backfills = "runs"\n\n\ndef backfill(connection, n, keys):\n    pass\n'
    assert found(write(tmp_path, GOOD["a column"], variables=variables)) == []


@pytest.mark.parametrize("walked", ['backfills = "tags"', ""])
def test_a_backfill_must_walk_one_of_the_tables(tmp_path: Path, walked: str) -> None:
    variables = VARIABLES + f"{walked}\n\n\ndef backfill(connection, n, keys):\n    pass\n"
    assert rules(write(tmp_path, GOOD["a column"], variables=variables)) == {"incomplete-backfill"}


# -- markers ----------------------------------------------------------------------------------

DROP = 'op.drop_column(n.runs, "status", schema=n.schema)'
ALLOW = "# allow drop-column: nothing uses it since 0.4.0"


@pytest.mark.parametrize(
    "upgrade",
    [
        f"{ALLOW}\n{DROP}",
        f"{DROP}  {ALLOW}",
        f"{ALLOW},\n# and nobody ever did\n{DROP}",
        f"# The status is gone.\n{ALLOW}\n{DROP}",
        f"{DROP}  # noqa: E501  {ALLOW}",
        f"# allow change-type, drop-column: why\nfor name in ('a',): {DROP}; "
        "op.alter_column(n.runs, name, type_=types.TEXT, schema=n.schema)",
    ],
)
def test_a_marker_stands_on_the_line_or_directly_above_it(tmp_path: Path, upgrade: str) -> None:
    assert found(write(tmp_path, upgrade)) == []


@pytest.mark.parametrize(
    "upgrade", [f"{ALLOW}\n\n{DROP}", f"{DROP}\n{ALLOW}", f"pass  {ALLOW}\n{DROP}", f'"{ALLOW}"\n{DROP}']
)
def test_a_marker_elsewhere_allows_nothing(tmp_path: Path, upgrade: str) -> None:
    folder = write(tmp_path, upgrade)
    assert ("drop-column", line(folder, "drop_column")) in found(folder)


@pytest.mark.parametrize("marker", ["# allow drop-column", "# allow drop-column:", "# allow drop-column:   "])
def test_a_marker_without_a_reason_is_found(tmp_path: Path, marker: str) -> None:
    folder = write(tmp_path, f"{marker}\n{DROP}")
    assert found(folder) == [("marker-without-reason", line(folder, "# allow"))]


def test_a_marker_for_a_rule_that_there_is_not_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path, f"# allow drop-colum: gone\n{DROP}")
    at = line(folder, "# allow")
    assert found(folder) == [("unknown-rule", at), ("drop-column", at + 1)]
    assert all(rule in lint(folder, own=False)[0].message for rule in ADVICE)


def test_a_marker_that_allows_nothing_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path, f"# allow drop-column, drop-table: gone\n{DROP}\n{ALLOW}\n{GOOD['a column']}")
    assert [rule for rule, _ in found(folder)] == ["unused-marker", "unused-marker"]


def test_a_comment_that_only_begins_like_a_marker_is_none(tmp_path: Path) -> None:
    assert found(write(tmp_path, f"# allow writers to go on: see above\n{GOOD['a column']}")) == []


# -- all of it --------------------------------------------------------------------------------


def test_a_batch_in_no_schema_is_found_once_where_it_is_opened(tmp_path: Path) -> None:
    upgrade = """
        with op.batch_alter_table(n.runs) as batch:
            batch.add_column(sa.Column("a", types.COUNT))
            batch.add_column(sa.Column("b", types.COUNT))
    """
    folder = write(tmp_path, upgrade)
    assert found(folder) == [("no-schema", line(folder, "batch_alter_table"))]


def test_what_is_found_on_several_databases_is_found_once(tmp_path: Path) -> None:
    folder = write(tmp_path, BAD["change-type"][0])
    assert found(folder) == [("change-type", line(folder, "alter_column"))]


def test_a_fixed_name_in_a_batch_is_found_where_it_is_written(tmp_path: Path) -> None:
    upgrade = """
        with op.batch_alter_table("agent_sessions", schema=n.schema) as batch:
            batch.create_index("ix_title", ["title"])
    """
    folder = write(tmp_path, upgrade)
    assert found(folder) == [
        ("fixed-name", line(folder, "batch_alter_table")),
        ("fixed-name", line(folder, "create_index")),
    ]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (", server_default=sa.func.now()", "its default is the moment at which it is added"),
        (', server_default=sa.text("random()")', "its default is worked out for every row"),
        (", sa.Identity()", "its value is stored with every row"),
    ],
)
def test_a_rewriting_column_is_told_with_the_reason(tmp_path: Path, column: str, reason: str) -> None:
    [finding] = lint(write(tmp_path, COLUMN.format(column)), own=False)
    assert f"agent_sessions_runs.tokens, {reason}" in finding.message


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("ALTER TABLE {n.schema}.{n.runs} ADD x INT; UPDATE {n.schema}.{n.runs} SET x = 1;", "data-in-revision"),
        ("MERGE INTO {n.schema}.{n.runs} USING x ON true WHEN MATCHED THEN DELETE", "data-in-revision"),
        ("INSERT OR IGNORE INTO {n.schema}.{n.runs} VALUES (1) ON CONFLICT DO UPDATE SET a = 1", "data-in-revision"),
        ("GRANT DELETE ON {n.runs} TO somebody", "raw-sql"),
        ("SELECT * FROM {n.runs} FOR UPDATE", "raw-sql"),
        ("SELECT 'UPDATE {n.runs}'; -- UPDATE {n.runs}", "raw-sql"),
    ],
)
def test_a_statement_is_taken_for_what_it_does(tmp_path: Path, statement: str, rule: str) -> None:
    assert rules(write(tmp_path, f'op.execute(f"{statement}")')) == {rule}


def test_a_finding_says_what_why_what_instead_and_how_to_allow_it(tmp_path: Path) -> None:
    [finding] = lint(write(tmp_path, COLUMN.format(", nullable=False")), own=False)
    first, *rest = finding.message.splitlines()
    assert first == "It would add the column agent_sessions_runs.tokens, NOT NULL and without a default."
    assert rest[0].startswith("It fails where there are rows without a value")
    assert rest[1].startswith("Instead, leave the column nullable")
    assert rest[2] == '    sa.Column("title", types.TEXT)'
    assert rest[-1] == "To allow it: # allow not-null-without-default: <why it is safe here>"
    assert str(finding).startswith(f"{finding.file}:{finding.line}: not-null-without-default: It would ")
    assert list(finding.to_dict()) == ["file", "line", "rule", "message"]


def test_every_advice_has_code_that_is_python() -> None:
    for rule, (why, instead) in ADVICE.items():
        text, _, code = instead.partition("\n")
        assert why.endswith("."), rule
        assert text[0].islower(), rule
        compile(code, rule, "exec")
    assert not ADVICE.keys() & ON_MARKERS.keys()


def test_our_own_revisions_pass() -> None:
    assert lint() == []
    assert [script.revision for script in revisions(own=True)] == list(REVISIONS)


def test_an_applications_revisions_are_found_beside_ours_or_alone(tmp_path: Path) -> None:
    folder = write(tmp_path, DROP)
    assert [script.revision for script in revisions(folder, own=False)] == ["app1"]
    assert [script.revision for script in revisions(folder, own=True)] == [*REVISIONS, "app1"]
    [finding] = lint(folder)
    assert finding == lint(folder, own=False)[0]
    assert finding == Finding(
        str(folder / "app1_first.py"), line(folder, "drop_column"), "drop-column", finding.message
    )


@pytest.mark.filterwarnings("ignore:Revision nowhere")
@pytest.mark.parametrize("text", ["def upgrade(op, n:", "import nothing_of_that_name", 'down_revision = "nowhere"'])
def test_a_folder_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path, "pass", variables=VARIABLES + text + "\n")
    with pytest.raises(ConfigurationError, match=f"revisions in {folder} cannot be read"):
        lint(folder)
