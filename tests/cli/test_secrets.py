"""No password is ever shown, whatever goes wrong and wherever it came from."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from sqlalchemy import make_url

from agno_store import open_db
from agno_store.tables import REVISIONS
from tests.cli.program import COMMANDS, Answer, run, run_installed
from tests.cli.stores import at, contents, execute

PASSWORD = "p%40ss:w/ord#x"
PARTS = ("40ss", "@ss", "w/ord", "ord#x", "w%2F", "ord%23", quote(PASSWORD, safe=""), quote_plus(PASSWORD))

WRITTEN = {
    "in the URL": "{scheme}://me:{quoted}@127.0.0.1:{port}/app",
    "as a parameter": "{scheme}://me@127.0.0.1:{port}/app?password={quoted}",
    "as a parameter of another name": "{scheme}://me@127.0.0.1:{port}/app?{parameter}={quoted}",
    "twice": "{scheme}://me:{quoted}@127.0.0.1:{port}/app?password={quoted}&password={quoted}",
    "in a URL that cannot be read": "{scheme}//me:{quoted}@127.0.0.1:{port}/app",
    "in a URL with a wrong port": "{scheme}://me:{quoted}@127.0.0.1:port/app",
    "not encoded": "{scheme}://me:{password}@127.0.0.1:{port}/app",
    "not encoded, with an @": "{scheme}://me:sec@ord#x@127.0.0.1:{port}/app",
    "for another database": "oracle://me:{quoted}@127.0.0.1:{port}/app",
    "for an unknown driver": "{scheme}+nosuch://me:{quoted}@127.0.0.1:{port}/app",
}


def assert_hidden(answer: Answer) -> None:
    """Fail where a part of the password is on stdout or stderr."""
    said = answer.out + answer.err
    assert [part for part in PARTS if part in said] == [], said


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """A URL with the password, of a port on which nobody listens."""
    scheme, form = request.param
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return WRITTEN[form].format(
        scheme=scheme,
        port=port,
        password=PASSWORD,
        quoted=quote(PASSWORD, safe=""),
        parameter={"postgresql": "sslpassword", "mysql": "ssl_key_password"}[scheme],
    )


@pytest.mark.parametrize(
    "url", [(scheme, form) for scheme in ("postgresql", "mysql") for form in WRITTEN], indirect=True, ids="-".join
)
def test_a_password_is_hidden_however_it_is_written_and_whatever_fails(url: str) -> None:
    for words in COMMANDS.values():
        for style in ((), ("--json",)):
            answer = run(*words, "--db-url", url, *style)
            assert answer.code in (2, 7)
            assert_hidden(answer)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("source", ["variable", "pyproject"])
def test_help_does_not_show_the_password_of_the_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, source: str
) -> None:
    url = f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:1/app"
    if source == "variable":
        monkeypatch.setenv("AGNO_STORE_DB_URL", url)
    else:
        (folder / "pyproject.toml").write_text(f"[tool.agno-store]\ndb-url = '{url}'\n")
    answer = run(*command.split(), "--help")
    assert answer.code == 0
    assert_hidden(answer)


@pytest.mark.parametrize("option", ["lock-timeout = 'soon'", "tabel = 'x'", "schema = ''"])
def test_a_mistake_in_pyproject_does_not_show_the_password_beside_it(folder: Path, option: str) -> None:
    url = f"mysql://me:{quote(PASSWORD, safe='')}@127.0.0.1:1/app"
    (folder / "pyproject.toml").write_text(f"[tool.agno-store]\ndb-url = '{url}'\n{option}\n")
    answer = run("upgrade")
    assert answer.code != 0
    assert_hidden(answer)


@pytest.mark.backends("mysql")
def test_a_password_that_the_server_refuses_is_hidden(fresh_url: str) -> None:
    url = make_url(fresh_url).set(username="nobody", password=PASSWORD).render_as_string(hide_password=False)
    answer = run("upgrade", "--db-url", url, "--json")
    assert answer.code == 7
    assert "Access denied" in answer.complaint
    assert_hidden(answer)


@pytest.mark.backends("postgresql", "mysql")
def test_a_user_without_rights_gets_the_servers_reason_and_no_password(fresh_url: str) -> None:
    at(fresh_url, REVISIONS[0])
    before = contents(fresh_url)
    name = f"reader_{uuid.uuid4().hex[:8]}"
    create, drop = {
        "postgresql": ([f"CREATE USER {name} PASSWORD '{PASSWORD}'"], f"DROP USER {name}"),
        "mysql": (
            [f"CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'", f"GRANT SELECT ON *.* TO {name}@'%'"],
            f"DROP USER {name}@'%'",
        ),
    }[make_url(fresh_url).get_backend_name()]
    execute(fresh_url, *create)
    try:
        url = make_url(fresh_url).set(username=name, password=PASSWORD).render_as_string(hide_password=False)
        answer = run("upgrade", "--db-url", url, "--json")
    finally:
        execute(fresh_url, drop)
    assert answer.code == 1
    assert answer.document["error"]["type"] == "AccessDenied"
    assert "denied" in answer.complaint
    assert_hidden(answer)
    assert contents(fresh_url) == before


@pytest.mark.backends("postgresql")
def test_a_store_whose_url_has_a_password_never_shows_it(fresh_url: str) -> None:
    """The private servers take any password for granted, so that all goes well here."""
    url = make_url(fresh_url).set(password=PASSWORD).render_as_string(hide_password=False)
    for state in ("missing", "upgraded"):
        for words in (("check",), ("current",), ("history",), ("downgrade", "--to", "base"), ("upgrade",)):
            for style in ((), ("--json",)):
                answer = run(*words, "--db-url", url, *style)
                assert answer.code in (0, 1, 3), (state, words, answer)
                assert_hidden(answer)


def test_the_program_itself_hides_the_password_of_the_variable(folder: Path) -> None:
    url = f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:1/app"
    answer = run_installed("upgrade", directory=folder, AGNO_STORE_DB_URL=url)
    assert answer.code == 7
    assert "me:***@127.0.0.1" in answer.err
    assert_hidden(answer)


AWKWARD = "p@ss%w:/#?&=+ x%s%%(y)s%40\\'\""


@pytest.mark.backends("mysql")
def test_a_password_may_hold_any_character(fresh_url: str, folder: Path) -> None:
    name = f"awkward_{uuid.uuid4().hex[:8]}"
    owned = make_url(fresh_url)
    told = AWKWARD.replace("\\", "\\\\").replace("'", "''")
    execute(
        fresh_url,
        f"CREATE USER {name}@'%' IDENTIFIED BY '{told}'",
        f"GRANT ALL ON `{owned.database}`.* TO {name}@'%'",
    )
    right = owned.set(username=name, password=AWKWARD).render_as_string(hide_password=False)
    wrong = owned.set(username=name, password=f"{AWKWARD}x").render_as_string(hide_password=False)
    try:
        with open_db(right) as db:
            assert db.upgrade_schema() == list(REVISIONS)
        with open_db(make_url(right)) as db:
            assert db.schema_status().in_step
        assert run("check", "--drift", "--db-url", right).code == 0
        answer = run_installed("downgrade", "--to", "base", "--yes", directory=folder, AGNO_STORE_DB_URL=right)
        assert answer.code == 0, answer.err
        assert run("check", "--db-url", wrong).code == 7
    finally:
        execute(fresh_url, f"DROP USER {name}@'%'")


FORGOTTEN = {
    "in the URL": "postgresql://me:{secret}@127.0.0.1:1/app",
    "in a URL of a driver": "mysql+pymysql://me:{secret}@127.0.0.1:1/app",
    "with an @": "postgresql://me:x@{secret}@127.0.0.1:1/app",
    "with a blank": "postgresql://me:x {secret}@127.0.0.1:1/app",
    "without a user": "postgresql://:{secret}@127.0.0.1:1/app",
    "as parameters": "postgresql://me@127.0.0.1:1/app?password={secret}&sslpassword={secret}&x=y",
}


@pytest.mark.parametrize("form", FORGOTTEN)
def test_a_url_whose_option_was_forgotten_is_repeated_without_its_password(form: str) -> None:
    url = FORGOTTEN[form].format(secret="s3cr3t")
    commands = [(*COMMANDS[name], url) for name in ("upgrade", "doctor", "sessions list", "search")]
    # Where nothing is expected at all, and in the place of anything else.
    commands += [(url,), ("sessions", url), ("lint", url), ("schema", url), ("doctor", "--lock-timeout", url)]
    commands += [("check", f"--{url}"), (f"--{url}",), ("upgrade", "--dialect", url), ("upgrade", "--app", url)]
    commands += [("check", "--db-url", "sqlite:///a.db", option, url) for option in ("--table", "--versions")]
    commands += [("upgrade", "--db-url", "sqlite:///a.db", "--to", url), ("import", url, "--db-url", "sqlite:///a.db")]
    for words in commands:
        for style in ((), ("--json",)):
            answer = run(*words, *style)
            assert answer.code != 0, words
            assert "s3cr3t" not in answer.out + answer.err, (words, answer)


@pytest.mark.parametrize("style", [(), ("--json",)])
def test_where_the_option_was_forgotten_it_is_named(style: tuple[str, ...]) -> None:
    answer = run("upgrade", "postgresql://me:s3cr3t@127.0.0.1:1/app", *style)
    assert answer.code == 2
    assert "me:***@127.0.0.1:1/app" in answer.complaint
    assert "Did you mean --db-url?" in answer.complaint
    assert "--db-url" not in run("upgrade", "nonsense", *style).complaint
