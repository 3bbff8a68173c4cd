"""Looks over all sessions: ping, stats, search."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from datetime import date, datetime, timezone
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from agno_store import InvalidArgument
from agno_store.owners import GONE
from agno_store.searching import BATCH, PLACES
from tests.contract import stores
from tests.contract.database import dump, overwrite, statements, stored
from tests.contract.samples import append, run, session

DAY = 86_400


def found(db: Any, text: str, **options: Any) -> list[str]:
    """The ids of the sessions in which a text is found, in order."""
    return [one.session_id for one in db.search(text, **options)]


def paths(db: Any, text: str) -> list[tuple[str | None, str]]:
    """Where a text is found in the one session that has it."""
    [one] = db.search(text)
    return [(place.run_id, place.path) for place in one.places]


# -- ping --------------------------------------------------------------------------------------------


def test_a_ping_is_answered_in_seconds_and_asks_for_no_tables(opened: Any) -> None:
    db = opened()
    assert 0 < db.ping() < 20
    assert db.schema_status().state == "missing"


@pytest.mark.backends("sqlite")
def test_a_ping_makes_no_file(backend: str, tmp_path: Path) -> None:
    file = tmp_path / "not" / "there.db"
    with stores.open_db(f"sqlite:///{file}") as db:
        assert db.ping() >= 0
    assert not file.parent.exists()


# -- stats -------------------------------------------------------------------------------------------


def test_an_empty_store_has_nothing(db: Any) -> None:
    stats = db.stats(days=2)
    assert (stats.sessions, stats.runs, stats.bytes, stats.users) == (0, 0, 0, 0)
    assert (stats.created_at, stats.updated_at, stats.by_user, stats.largest, stats.oldest) == (None, None, (), (), ())
    assert [(day.sessions, day.runs, day.bytes) for day in stats.days] == [(0, 0, 0)] * 2


def payload_bytes(db: Any, session_id: str) -> int:
    """What a session takes, counted by hand in what the tables hold."""
    payloads = ("_data", "metadata", "topics", "summary")
    return sum(
        len(value.encode())
        for rows in dump(db).values()
        for row in rows
        if row["session_id"] == session_id
        for name, value in row.items()
        if value is not None and name.endswith(payloads)
    )


def test_stats_are_what_the_tables_hold(db: Any) -> None:
    db.upsert_session(session("a", user_id="ada", agent_id="one", metadata={"note": "größer 😀"}))
    db.upsert_session(session("b", user_id="ada", agent_id="two", summary={"summary": "ü" * 50, "topics": ["x"]}))
    db.upsert_session({"session_id": "c", "session_type": "team", "team_id": "t", "user_id": "bob", "agent_id": "one"})
    db.upsert_session(session("d"))
    append(db, "a", "r1", "r2", content="ä" * 1000)
    append(db, "b", "r1")
    sizes = {each: payload_bytes(db, each) for each in "abcd"}
    assert sizes["c"] == sizes["d"] == 0
    before, stats = dump(db), db.stats()

    assert (stats.sessions, stats.runs, stats.users, stats.bytes) == (4, 3, 2, sum(sizes.values()))
    assert [(share.id, share.sessions, share.runs, share.bytes) for share in stats.by_user] == [
        ("ada", 2, 3, sizes["a"] + sizes["b"]),
        ("bob", 1, 0, sizes["c"]),
        (None, 1, 0, sizes["d"]),
    ]
    components = {(share.session_type, share.id): share.bytes for share in stats.by_component}
    assert components == {
        ("agent", "one"): sizes["a"],
        ("agent", "two"): sizes["b"],
        ("team", "t"): sizes["c"],
        ("agent", None): sizes["d"],
    }
    assert [(one.session_id, one.runs, one.bytes) for one in stats.largest][:2] == [
        ("a", 2, sizes["a"]),
        ("b", 1, sizes["b"]),
    ]
    assert json.loads(json.dumps(stats.to_dict()))["bytes"] == stats.bytes
    assert dump(db) == before


def test_growth_is_told_by_the_day_it_was_on(db: Any) -> None:
    now = int(time.time())
    for days, runs in ((0, 1), (1, 2), (3, 1), (40, 5)):
        moment = now - days * DAY
        db.upsert_session(session(f"s{days}", created_at=moment))
        for number in range(runs):
            db.upsert_run(run(f"r{number}", created_at=moment), f"s{days}")
    stats = db.stats(days=4)

    assert [(day.sessions, day.runs) for day in stats.days] == [(1, 1), (0, 0), (1, 2), (1, 1)]
    dates = [datetime.fromtimestamp(now - days * DAY, timezone.utc).date().isoformat() for days in (3, 2, 1, 0)]
    assert [day.date for day in stats.days] in (dates, [day.date for day in db.stats(days=4).days])
    assert all((day.bytes > 0) == (day.runs > 0) for day in stats.days)
    assert (stats.runs, stats.created_at) == (9, now - 40 * DAY)


def test_lists_are_as_long_as_asked_for_largest_and_oldest_first(db: Any) -> None:
    for number in range(5):
        sessions = [session(f"s{number}", user_id=f"u{number}", metadata={"n": "x" * 100 * number})]
        sessions[0]["updated_at"] = 1_700_000_000 + number
        db.upsert_sessions(sessions, preserve_updated_at=True)
    stats = db.stats(most=2)

    assert [one.session_id for one in stats.largest] == ["s4", "s3"]
    assert [one.session_id for one in stats.oldest] == ["s0", "s1"]
    assert [share.id for share in stats.by_user] == ["u4", "u3"]
    assert (stats.sessions, stats.updated_at) == (5, 1_700_000_004)


@pytest.mark.parametrize("wrong", [{"days": 0}, {"days": True}, {"most": "ten"}, {"most": 10_001}])
def test_what_is_no_number_of_days_is_refused(db: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        db.stats(**wrong)


def test_tenants_are_counted_and_searched_apart(opened: Any) -> None:
    one, other, nobody = opened(tenant_id="one"), opened(tenant_id="other"), opened()
    for number, db in enumerate((one, other, nobody), 1):
        db.upsert_session(session("s", user_id="ada"))
        for index in range(number):
            db.upsert_run(run(f"r{index}", content=f"hello {number}"), "s")
    assert [(db.stats().sessions, db.stats().runs) for db in (one, other, nobody)] == [(1, 1), (1, 2), (1, 3)]
    for number, db in enumerate((one, other, nobody), 1):
        assert [place.excerpt for each in db.search("hello") for place in each.places] == [f"hello {number}"] * number
        assert [share.runs for share in db.stats().by_user] == [sum(day.runs for day in db.stats().days)] == [number]


# -- search ------------------------------------------------------------------------------------------

TEXTS = (
    "plain",
    'a "quoted" one',
    "back\\slash \\u0041",
    "100% of_it /*",
    "line\nbreak\ttab",
    "größe ΣΑΣ ß",
    "emoji 😀 and 𝒳",
    "nul\x00 and \x1a",
    "half \ud83d of a pair",
    "'); DROP TABLE agent_sessions; --",
    "\x7f\x85\u2028",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_found_wherever_it_stands(db: Any, text: str) -> None:
    said = f"before {text} behind"
    db.upsert_session(session("state", session_data={"session_state": {"deep": [{"x": said}]}}))
    db.upsert_session(session("meta", metadata={"x": said}))
    db.upsert_session(session("summed", summary={"summary": said, "topics": [said]}))
    append(db, "ran", "r0")
    append(db, "ran", "r1", content=None, messages=[{"role": "user", "content": said}])
    db.upsert_session(session("nothing", metadata={"x": "something else"}))
    before = dump(db)

    assert sorted(found(db, text)) == ["meta", "ran", "state", "summed"]
    places = {one.session_id: [(place.run_id, place.path) for place in one.places] for one in db.search(text)}
    assert places == {
        "state": [(None, "session_data.session_state.deep[0].x")],
        "meta": [(None, "metadata.x")],
        "summed": [(None, "summary.summary"), (None, "summary.topics[0]")],
        "ran": [("r1", "run_data.messages[0].content")],
    }
    assert dump(db) == before


@pytest.mark.parametrize("text", TEXTS)
def test_what_others_have_written_with_escapes_is_found_too(db: Any, text: str) -> None:
    append(db, "s", "r")
    overwrite(db, "runs", "run_data", json.dumps({"content": f"before {text} behind"}), run_id="r")
    assert paths(db, text) == [("r", "run_data.content")]


def test_what_json_has_no_text_for_is_found_as_it_is_stored(db: Any) -> None:
    said = {
        "set": {"rain", 7, ("sun", "rain")},
        "frozen": frozenset({"a", frozenset({"b", "train"})}),
        "moments": [date(2026, 1, 31), datetime(2026, 1, 31, 12, tzinfo=timezone.utc), clock(12, 30, fold=1)],
        "price": Decimal("12.30"),
        "id": UUID(int=0xABC),
    }
    append(db, "s", "r", content=said)
    db.upsert_session(session("state", session_data={"session_state": {"tags": {"vip"}}}))
    inside = {
        "rain": ["set[0]", "set[2][1]", "frozen[1][1]"],
        "2026-01-31": ["moments[0]", "moments[1]"],
        "31t12:00:00+00:00": ["moments[1]"],
        "12:30": ["moments[2]"],
        "12.3": ["price"],
        "ABC": ["id"],
    }
    for text, wanted in inside.items():
        assert paths(db, text) == [("r", f"run_data.content.{path}") for path in wanted], text
    assert paths(db, "vip") == [(None, "session_data.session_state.tags[0]")]


def test_letters_from_a_to_z_are_found_in_either_case_and_all_others_as_they_are(db: Any) -> None:
    append(db, "s", "r", content="Straße in ÄGYPTEN")
    assert found(db, "sTRAßE IN Ägypten") == ["s"]
    assert found(db, "ägypten") == []
    assert found(db, "STRASSE") == []


@pytest.mark.parametrize("text", ["content", "role", '":"', "{", "run_id", "null", "_", "%", "ab%", "a_c"])
def test_names_of_fields_and_signs_of_json_and_sql_are_no_text(db: Any, text: str) -> None:
    append(db, "s", "r", content="abc", messages=[{"role": "user", "content": None}])
    assert found(db, text) == []


def test_signs_of_like_are_looked_for_and_not_obeyed(db: Any) -> None:
    append(db, "s", *(f"r{number}" for number in range(9)), content="abc")
    with statements(db.db_engine) as sent:
        assert [found(db, text) for text in ("%", "a%c", "a_c", "/%")] == [[]] * 4
    assert len(sent) == 4 * 3  # no run was read to find out


def test_pages_go_on_behind_each_other_newest_first(db: Any) -> None:
    sessions = [session(f"s{number:02}", created_at=1_700_000_000 + number) for number in range(BATCH // 10)]
    db.upsert_sessions(sessions)
    for number in range(0, len(sessions), 2):
        append(db, f"s{number:02}", "r", content="needle")
    wanted = [f"s{number:02}" for number in range(len(sessions) - 2, -1, -2)]
    seen, page = [], db.search("needle", limit=3)
    while page:
        assert len(page) <= 3
        seen += [one.session_id for one in page]
        if page.next is None:
            break
        page = db.search("needle", limit=3, after=page.next)
    assert seen == wanted
    assert found(db, "needle", limit=len(wanted)) == wanted


def test_more_sessions_than_one_transaction_goes_through_are_searched(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_store.searching.BATCH", 7)
    db.upsert_sessions([session(f"s{number:02}", created_at=1_700_000_000 + number) for number in range(30)])
    for number in (0, 6, 7, 8, 29):
        append(db, f"s{number:02}", "r", content="needle")
    assert found(db, "needle") == ["s29", "s08", "s07", "s06", "s00"]
    assert db.search("needle").next is None
    page = db.search("needle", limit=4)
    assert found(db, "needle", after=page.next) == ["s00"]


def test_filters_leave_out_what_does_not_fit(db: Any) -> None:
    db.upsert_session(session("a", user_id="ada", agent_id="one", created_at=1_700_000_000, metadata={"x": "needle"}))
    db.upsert_session(session("b", user_id="bob", agent_id="two", created_at=1_700_000_100, metadata={"x": "needle"}))
    [one] = db.search("needle", user_id="ada")
    assert (one.session_id, one.component_id, one.created_at) == ("a", "one", 1_700_000_000)
    assert one.updated_at == db.get_session("a").updated_at > one.created_at
    nobodys = db.search("needle", user_id="", after=db.search("needle", limit=1).next)
    assert (found(db, "needle", user_id=""), nobodys, nobodys.next) == ([], [], None)
    assert found(db, "needle", component_id="two") == ["b"]
    assert found(db, "needle", session_type="team") == []
    assert found(db, "needle", start_timestamp=1_700_000_050) == ["b"]
    assert found(db, "needle", end_timestamp=1_700_000_050) == ["a"]


ANEW = [(payload, moment) for payload in ("session", "run") for moment in (1, 2, 3)]


@pytest.mark.parametrize(("payload", "moment"), [*ANEW, ("gone", 3)])
@pytest.mark.backends("postgresql", "mysql")  # SQLite shows a reader one moment
def test_a_session_that_is_made_anew_meanwhile_or_being_deleted_is_not_shown(
    opened: Any, payload: str, moment: int
) -> None:
    db, other = opened(), opened()
    db.upsert_session(session("s", user_id="ada", metadata={"x": "needle"}))
    append(db, "s", "r", user_id="ada", content="needle")
    sent: list[str] = []

    def make_anew(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "agent_sessions" not in statement:
            return
        sent.append(statement)
        if len(sent) == moment + 1 and payload == "gone":
            overwrite(other, "sessions", "user_id", GONE, session_id="s")
        elif len(sent) == moment + 1:
            other.delete_session("s")
            said = {each: "a secret needle" if each == payload else "" for each in ("session", "run")}
            other.upsert_session(session("s", user_id="bob", metadata={"x": said["session"]}))
            append(other, "s", "r", user_id="bob", content=said["run"])

    event.listen(db.db_engine, "before_cursor_execute", make_anew)
    places = [place for one in db.search("needle", user_id="ada") for place in one.places]
    assert len(sent) > moment
    assert "secret" not in str(places)
    assert payload != "gone" or places == []


def test_only_the_first_places_of_a_session_are_shown_and_few_runs_are_read(db: Any) -> None:
    append(db, "s", *(f"r{number}" for number in range(PLACES * 3)), content="needle")
    with statements(db.db_engine) as sent:
        [one] = db.search("needle")
    assert [place.run_id for place in one.places] == [f"r{number}" for number in range(PLACES)]
    assert len(sent) <= PLACES + 3
    for in_session, runs in ((PLACES - 1, ["r0"]), (PLACES * 2, [])):
        db.upsert_session(session("s", metadata={"x": ["needle"] * in_session}))
        [one] = db.search("needle")
        assert [place.run_id for place in one.places] == [*[None] * (PLACES - len(runs)), *runs]


def test_an_excerpt_shows_what_is_around(db: Any) -> None:
    append(db, "s", "r", content="x" * 500 + " the\nneedle\there " + "y" * 500)
    [place] = db.search("needle")[0].places
    assert place.excerpt.startswith("…xxx")
    assert place.excerpt.endswith("yyy…")
    assert " the needle here " in place.excerpt
    assert len(place.excerpt) < 100


def test_what_cannot_be_read_is_found_with_a_mark_and_takes_nothing_down(db: Any, backend: str) -> None:
    append(db, "s", "whole", "broken", content="needle")
    db.upsert_session(session("t", metadata={"x": "needle"}))
    if backend != "postgresql":  # PostgreSQL keeps no such thing
        overwrite(db, "runs", "run_data", '{"content": "a needle', run_id="broken")
        overwrite(db, "sessions", "metadata", '{"x": "NEEDLE', session_id="t")
        damaged = {(one.session_id, p.run_id): (p.path, p.damaged) for one in db.search("Needle") for p in one.places}
        assert damaged == {
            ("s", "whole"): ("run_data.content", False),
            ("s", "broken"): ("run_data", True),
            ("t", None): ("metadata", True),
        }
    overwrite(db, "runs", "run_data", '["needle"]', run_id="broken")
    assert [place.damaged for one in db.search("needle") if one.session_id == "s" for place in one.places] == [
        False,
        True,
    ]
    assert db.stats().runs == 2
    overwrite(db, "sessions", "metadata", '["nothing"]', session_id="t")
    db.upsert_summary("t", {"summary": "a needle"})  # what can be read is shown as it was said, and once
    assert [(place.path, place.damaged) for place in db.search("needle", limit=1)[0].places] == [
        ("summary.summary", False)
    ]


@pytest.mark.backends("sqlite")
def test_bytes_in_the_place_of_a_text_are_found_with_a_mark(db: Any) -> None:
    append(db, "s", "r")
    overwrite(db, "sessions", "metadata", b'{"x": "needle \xff', session_id="s")
    overwrite(db, "runs", "run_data", b'{"x": "a needle', run_id="r")
    [one] = db.search("needle")
    assert [(place.path, place.damaged) for place in one.places] == [("metadata", True), ("run_data", True)]
    assert one.places[0].excerpt.endswith("needle \\xff")


@pytest.mark.parametrize("text", ["", None, 5, b"needle", "x" * 1001])
def test_what_is_no_text_to_look_for_is_refused(db: Any, text: Any) -> None:
    with pytest.raises(InvalidArgument, match="text must be"):
        db.search(text)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": None}, {"after": "nonsense"}, {"session_type": "x"}])
def test_what_is_no_page_is_refused(db: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        db.search("needle", **wrong)


def test_long_texts_can_be_looked_for(db: Any) -> None:
    text = "😀%_\\" * 250
    append(db, "s", "r", content=f"<{text}>")
    assert found(db, text) == ["s"]


def test_a_search_finds_what_a_look_through_everything_finds(db: Any) -> None:
    chosen = random.Random(7)
    alphabet = 'aAäßΣ"\\/\n%_\x00😀\ud800 '
    contents = {f"s{number}": "".join(chosen.choices(alphabet, k=12)) for number in range(40)}
    for session_id, content in contents.items():
        append(db, session_id, "r", content=content)
    assert len(stored(db, "runs", "run_data", session_id="s0")) > 12
    for _ in range(25):
        text = "".join(chosen.choices(alphabet, k=2))
        wanted = {one for one, content in contents.items() if text.replace("A", "a") in content.replace("A", "a")}
        assert set(found(db, text, limit=100)) == wanted, repr(text)


def test_a_search_holds_one_payload_at_a_time(db: Any) -> None:
    filler = "x" * 500_000
    for number in range(30):
        db.upsert_run(run(f"r{number}", content=filler, needle=1), "s")
    append(db, "s", "last", content="the needle")
    tracemalloc.start()
    try:
        assert paths(db, "needle") == [("last", "run_data.content")]
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()
