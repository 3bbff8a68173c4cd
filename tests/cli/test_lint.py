"""``agno-store lint``: what is dangerous in revisions, said with its place before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_store.migrations import scripts
from agno_store.tables import REVISIONS
from tests.cli.program import run, run_installed
from tests.migrations.revisions import line, write

DROP = 'op.drop_column(n.runs, "status", schema=n.schema)'
ADD = 'op.add_column(n.runs, sa.Column("tokens", types.COUNT), schema=n.schema)'


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this look like an installed package, whose revisions nobody may change."""
    monkeypatch.setattr("agno_store.migrations.scripts.in_checkout", lambda: False)


def test_a_checkouts_own_revisions_are_read() -> None:
    assert scripts.in_checkout()
    answer = run("lint")
    assert (answer.code, answer.out, answer.err) == (0, f"0 findings in {len(REVISIONS)} revisions\n", "")


def test_an_applications_revisions_are_read_besides(folder: Path) -> None:
    write(folder / "versions", ADD)
    answer = run("lint", "--versions", "versions")
    assert (answer.code, answer.out) == (0, f"0 findings in {len(REVISIONS) + 1} revisions\n")


@pytest.mark.usefixtures("installed")
def test_findings_are_shown_with_their_place_and_exit_with_1(folder: Path) -> None:
    versions = write(folder / "versions", DROP)
    answer = run("lint", "--versions", "versions")
    assert (answer.code, answer.err) == (1, "")
    first, *rest = answer.out.splitlines()
    at = line(versions, "drop_column")
    assert first.startswith(f"versions/app1_first.py:{at}: drop-column: It would drop the column ")
    assert "To allow it: # allow drop-column: <why it is safe here>" in rest
    assert rest[-1] == "1 finding in 1 revision"


@pytest.mark.usefixtures("installed")
def test_a_file_elsewhere_is_shown_with_its_whole_path(tmp_path: Path) -> None:
    versions = write(tmp_path / "elsewhere", DROP)
    assert run("lint", "--versions", str(versions)).out.startswith(f"{versions}/app1_first.py:")


@pytest.mark.usefixtures("installed")
def test_programs_get_the_findings_as_a_document(folder: Path) -> None:
    versions = write(folder / "versions", DROP)
    answer = run("lint", "--versions", "versions", "--json")
    assert (answer.code, answer.err) == (1, "")
    assert list(answer.document) == ["revisions", "findings"]
    assert answer.document["revisions"] == 1
    [finding] = answer.document["findings"]
    assert finding.pop("message").startswith("It would drop the column ")
    file = str(versions / "app1_first.py")
    assert finding == {"file": file, "line": line(versions, "drop_column"), "rule": "drop-column"}


def test_the_folder_may_come_from_a_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGNO_STORE_VERSIONS", str(write(folder / "versions", DROP)))
    assert run("lint").code == 1


@pytest.mark.usefixtures("installed")
def test_without_a_folder_and_outside_of_a_checkout_there_is_nothing_to_read() -> None:
    answer = run("lint")
    assert (answer.code, answer.out) == (2, "")
    assert "--versions" in answer.complaint


@pytest.mark.parametrize("mistake", ["absent", "broken"])
def test_a_folder_that_cannot_be_read_is_a_usage_error_that_names_it(folder: Path, mistake: str) -> None:
    write(folder / "broken", "pass", variables="down_revision = (")
    answer = run("lint", "--versions", mistake)
    assert (answer.code, answer.out) == (2, "")
    assert mistake in answer.complaint


def test_the_program_itself_needs_no_database(folder: Path) -> None:
    write(folder / "versions", DROP)
    answer = run_installed("lint", "--versions", "versions", directory=folder)
    assert answer.code == 1
    assert "versions/app1_first.py" in answer.out
    assert sorted(file.name for file in folder.iterdir()) == ["versions"]
