"""What is shown of a URL, and which database it means."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy import make_url

from agno_store import open_db
from agno_store.urls import masked, redacted

SECRET = "s3cr3t/p@ss:w%rd"
QUOTED = quote(SECRET, safe="")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////tmp/a b.db", "sqlite:////tmp/a b.db"),
        ("sqlite://", "sqlite://"),
        ("postgresql+psycopg://user@host:5432/db", "postgresql+psycopg://user@host:5432/db"),
        (f"postgresql+psycopg://user:{QUOTED}@host/db", "postgresql+psycopg://user:***@host/db"),
        (f"mysql+pymysql://user:{QUOTED}@host/db?charset=utf8mb4", "mysql+pymysql://user:***@host/db?charset=utf8mb4"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(make_url(url)) == shown


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "passwd",
        "passfile",
        "sslpassword",
        "PGPASSWORD",
        "token",
        "access_token",
        "secret",
        "sslkey",
        "api_key",
    ],
)
def test_what_looks_like_a_secret_in_the_query_is_hidden(name: str) -> None:
    url = make_url(f"postgresql+psycopg://user@host/db?{name}={QUOTED}&application_name=mine")

    assert SECRET not in redacted(url)
    assert QUOTED not in redacted(url)
    assert "application_name=mine" in redacted(url)


def test_several_values_of_one_secret_are_hidden() -> None:
    url = make_url(f"postgresql+psycopg://host/db?password={QUOTED}&password=again&host=a&host=b")

    assert "again" not in redacted(url)
    assert QUOTED not in redacted(url)
    assert "host=a" in redacted(url)


def test_the_url_itself_is_not_changed() -> None:
    url = make_url(f"mysql+pymysql://user:{QUOTED}@host/db?sslkey=x")
    redacted(url)

    assert url.password == SECRET
    assert url.query["sslkey"] == "x"


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("postgresql://app:one@host/db", "postgresql+psycopg://app:two@host/db"),
        ("postgresql://app@host/db", "postgres://support:two@host/db"),
        ("postgresql://host/db?password=one", "postgresql://app@host/db"),
        ("mysql://app:one@host/db", "mysql+pymysql://support@host/db"),
    ],
)
def test_a_store_is_the_same_one_whoever_connects_to_it(url: str, other: str) -> None:
    # What was read through the one is a session of the other: only what was changed is written.
    with open_db(url) as one, open_db(other) as same:
        assert one._origin == same._origin
    with open_db(f"{url.partition('?')[0]}_two") as another:
        assert another._origin != same._origin


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("(postgresql://u:a@b:c@h/d)", "(postgresql://u:***@h/d)"),
        ("/tmp/mysql:/u:secret@h/d cannot be read", "/tmp/mysql:/u:***@h/d cannot be read"),
        ("No such command 'mysql//u:secret@h/d'", "No such command 'mysql//u:***@h/d'"),
        ("postgresql://h/d?sslkey=abc&x=1: no", "postgresql://h/d?sslkey=***&x=1: no"),
        # What holds no secret stays as it is.
        ("mysql+pymysql://h:3306/d: denied for 'a'@'b'", "mysql+pymysql://h:3306/d: denied for 'a'@'b'"),
        ("postgresql://u:***@h/d?password=***: no", "postgresql://u:***@h/d?password=***: no"),
        ("sqlite:////tmp/a:b@c.db", "sqlite:////tmp/a:b@c.db"),
        ("line 7: me@example.com", "line 7: me@example.com"),
    ],
)
def test_a_text_is_shown_without_the_secrets_of_the_urls_in_it(text: str, shown: str) -> None:
    assert masked(text) == shown
