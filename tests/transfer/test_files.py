"""A file of sessions: what is written there comes back, and what is wrong with one is said and passed over."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from agno_store import AgnoStoreError, InvalidArgument, SchemaMissing, SqliteDb
from agno_store.transfer import Counts, Transferred
from tests.contract.database import content, dump, empty, overwrite
from tests.contract.samples import append, run, session
from tests.contract.values import anything
from tests.frozen.population import populate
from tests.package.documents import blocks
from tests.package.source import ROOT
from tests.servers import databases
from tests.transfer.conftest import Opened

HEADER = '{"agno_store_export":1,"release":"0.2"}'


def line(key: str, *runs: dict[str, Any], **more: Any) -> str:
    """A session's line, as short as it may be."""
    times = {"created_at": 1, "updated_at": 2}
    whole = [{"run_type": "agent", "run_data": {}, **times, **each} for each in runs]
    return json.dumps({"session": {"session_id": key, "session_type": "agent", **times, **more}, "runs": whole})


def end(sessions: int) -> str:
    return json.dumps({"end": {"sessions": sessions}})


def imported(db: Any, *lines: str, **options: Any) -> Transferred:
    done: Transferred = db.import_from(io.BytesIO("\n".join(lines).encode()), **options)
    return done


def keys(db: Any) -> list[str]:
    return [row["session_id"] for row in dump(db)["sessions"]]


def test_a_file_holds_all_and_is_the_same_from_every_database(backend: str, opened: Opened, tmp_path: Path) -> None:
    first, packed = opened(backend), tmp_path / "1.jsonl.gz"
    populate(first, large=True)
    done = first.export(packed)
    rows = content(first)
    stored = {table: len(rows[table]) for table in ("sessions", "runs", "summaries")}
    assert ({table: getattr(done, table) for table in stored}, done.problems) == (stored, [])
    for other in [*(name for name in databases() if name != backend), backend]:
        there = opened(other)
        assert there.import_from(packed, verify=True).problems == []
        assert content(there) == rows
        again = tmp_path / f"{other}.jsonl.gz"
        there.export(again)
        assert again.read_bytes() == packed.read_bytes()
    lines = gzip.decompress(packed.read_bytes()).decode().removesuffix("\n").split("\n")
    assert [list(json.loads(each)) for each in (lines[0], lines[-1])] == [["agno_store_export", "release"], ["end"]]
    assert [json.loads(each)["session"]["session_id"] for each in lines[1:3]] == [
        "Ada-1",
        json.loads(lines[2])["session"]["session_id"],
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything)
def test_any_value_comes_out_of_a_file_as_it_went_in(source: Any, target: Any, value: Any) -> None:
    payload = {"v": value, "": [value]}
    source.upsert_session(session("s", session_data={"session_state": payload}, metadata=payload))
    source.upsert_run(run("r", value), "s")
    source.upsert_summary("s", {"summary": "text", "topics": [value], "more": [value]})
    file = io.BytesIO()
    assert source.export(file).sessions == 1
    target.delete_session("s")
    assert imported(target, file.getvalue().decode(), verify=True).problems == []
    assert content(target) == content(source)


def test_a_line_may_be_written_by_another_program(source: Any, target: Any) -> None:
    populate(source, large=False)
    file = io.BytesIO()
    source.export(file)
    spread = [
        json.dumps(json.loads(each), ensure_ascii=True, separators=(" ,  ", " : "))
        for each in file.getvalue().decode().rstrip("\n").split("\n")
    ]
    assert imported(target, *spread).problems == []
    assert content(target) == content(source)


@pytest.mark.backends("sqlite")
def test_the_file_in_the_documents_is_one(target: Any) -> None:
    [example] = [block for block in blocks(ROOT / "docs/howto/moving-sessions.md") if block.language == "json"]
    assert imported(target, *example.text.splitlines(), verify=True).runs == Counts(1)
    again = io.BytesIO()
    target.export(again)
    assert again.getvalue().decode().split("\n", 1)[1] == example.text.split("\n", 1)[1]


WRONG = {
    "no JSON": "it is no JSON",
    '{"session":{"session_id":"x"': "it is no JSON: Expecting ',' delimiter at character 29",
    '{"session":{"session_id":"x\t"': "it is no JSON: Invalid control character at character 28",
    line("x")[:-1]: "it is no JSON: its end",
    line("x") + "}": "there is more behind its end",
    line("x")[:-2] + "7]}": "a run is 7",
    "[]": "it is no JSON",
    '{"runs":[]}': "there is no session_id in it",
    '{"session":7}': "its session is 7",
    '{"session":{"session_id":"x"},"summary":[]}': "its summary is []",
    line("x")[:-1] + ',"media":[]}': "it has media, which this release does not know",
    line("x", session_type="robot"): "its session_type is 'robot'",
    line("x", created_at="yesterday"): "the created_at of the session is 'yesterday'",
    line("x", created_at=2**63): "the created_at of the session is 9223372036854775808",
    line("x", updated_at=2**62): "the updated_at of the session is 4611686018427387904",
    line("x", version=2**62): "the version of the session is 4611686018427387904",
    line("x", next_run_index=2**63 - 1): "the next_run_index of the session is 9223372036854775807",
    line("x", {"run_id": "r", "run_index": 2**63 - 1}): "the run_index of run 'r' is 9223372036854775807",
    line("x", {"run_id": "r", "run_index": -1}): "the run_index of run 'r' is -1",
    line("x", created_at=None): "the session has no created_at",
    line("x", user_id=7): "the user_id of the session is 7",
    line("x", user_id=""): "user_id is empty",
    line("x", agent_id="a" * 256): "agent_id has 256 characters",
    line("x", session_data=True): "the session_data of the session is True",
    line("x", colour="red"): "the session has colour, which this release does not know",
    line("x", metadata={"a": "\x00"}): "it holds a NUL",
    line("x", user_id="\ud83d"): "half of a pair of surrogates",
    line("x", {"run_index": 0}): "run None has no run_id",
    line("x", {"run_id": "r", "run_data": None}): "run 'r' has no run_data",
    '{"session":{"session_id":"x"},"runs":' + "[" * 100_000: "it cannot be read: ",
    line("x", {"run_id": "r", "run_data": {"n": float("nan")}}): "it cannot be written as JSON: ",
    line("x", {"run_id": "r", "run_data": [1]}).replace("[1]", "[1e400]"): "it cannot be written as JSON: ",
    line("x", metadata={"n": 1}).replace('{"n": 1}', '{"n":-1e400}'): "it cannot be written as JSON: ",
    line("x", {"run_id": "r", "run_data": 5}): "the run_data of run 'r' is 5",
    line("x", {"run_id": "r", "run_data": True}): "the run_data of run 'r' is True",
    line("x")[:-2] + "NaN]}": "it cannot be written as JSON: ",
    '{"session":1e400}': "it cannot be written as JSON: ",
    line("x")[:-1] + ',["media"]:[]}': "it is no JSON: it has a key that is [",
}


def test_what_is_wrong_with_a_line_is_said_and_the_others_are_stored(target: Any) -> None:
    lines = [each for n, wrong in enumerate(WRONG) for each in (line(f"good {n:02}", {"run_id": "r"}), wrong)]
    done = imported(target, HEADER, *lines, end(len(lines)), verify=True)
    assert (done.sessions, done.runs, done.verified) == (*[Counts(len(WRONG))] * 2, len(WRONG))
    assert keys(target) == [f"good {n:02}" for n in range(len(WRONG))]
    for n, (problem, reason) in enumerate(zip(done.problems, WRONG.values(), strict=True)):
        assert problem.place.startswith(f"line {2 * n + 3}")
        assert reason in problem.reason
        assert len(problem.reason) < 300
    planned = imported(target, HEADER, *lines, end(len(lines)), plan=True)
    assert (planned.sessions, planned.problems) == (Counts(kept=len(WRONG)), done.problems)


def test_a_plan_for_a_store_without_tables_says_the_same_of_each_line(target: Any) -> None:
    done = imported(target, HEADER, *WRONG, line("good"), end(len(WRONG) + 1), plan=True)
    assert done.sessions == Counts(1)
    for problem, reason in zip(done.problems, WRONG.values(), strict=True):
        assert reason in problem.reason


def test_of_a_run_that_stands_in_a_line_twice_the_newer_one_is_stored(target: Any) -> None:
    runs = [{"run_id": "r", "updated_at": at, "run_data": {"content": content}} for at, content in ((2, "a"), (3, "b"))]
    for n, both in enumerate((runs, runs[::-1])):
        assert imported(target, HEADER, line(f"s{n}", *both, {"run_id": "q"}), end(1)).problems == []
        assert [found.run_data for found in target.get_session(f"s{n}").runs] == [{"content": "b"}, {}]


def test_what_a_line_leaves_out_is_made_up_for(target: Any) -> None:
    runs: list[dict[str, Any]] = [{"run_id": "b", "run_index": 3}, {"run_id": "a"}, {"run_id": "c", "run_index": 3}]
    assert imported(target, HEADER, line("s", *runs, session_data={"session_name": "Ö"}), "", end(1)).problems == []
    rows = dump(target)
    assert [(row["run_id"], row["run_index"], row["version"]) for row in rows["runs"]] == [
        ("b", 3, 1),
        ("a", 4, 1),
        ("c", 5, 1),
    ]
    assert [(row["next_run_index"], row["name_folded"], row["version"]) for row in rows["sessions"]] == [(6, "ö", 1)]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.backends("sqlite")
def test_of_a_file_that_was_cut_off_the_whole_lines_are_stored(target: Any, tmp_path: Path, packed: bool) -> None:
    lines = [HEADER, *(line(f"s{n}", {"run_id": "r"}, {"run_id": "q"}) for n in range(4)), end(4)]
    whole, file = "\n".join([*lines, ""]).encode(), tmp_path / "cut.jsonl"
    target.upgrade_schema()
    for cut in range(len(HEADER), len(whole) - len(lines[-1]) + 1, 23):
        file.write_bytes(gzip.compress(whole)[: -9 - cut // 23] if packed else whole[:cut])
        done = target.import_from(file)
        assert done.problems, cut
        rows = dump(target)
        complete = len(rows["sessions"]) if packed else whole[:cut].count(b'"runs"')
        assert len(rows["runs"]) == 2 * len(rows["sessions"])
        assert complete - 1 <= len(rows["sessions"]) <= complete
        empty(target)
    file.write_bytes(gzip.compress(whole) if packed else whole)
    assert target.import_from(file).problems == []


def test_the_last_line_tells_whether_lines_are_missing(target: Any) -> None:
    done = imported(target, HEADER, line("a"), end(2), HEADER, line("b"), end(1))
    assert [str(problem) for problem in done.problems] == ["line 3: it counts 2 sessions, and there are 1 before it"]
    assert keys(target) == ["a", "b"]
    assert "the last line is missing" in str(imported(target, HEADER, line("a")).problems)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no export of agno_store: its first line must be"),
        (b"SQLite format 3\x00", "is no export of agno_store"),
        (line("s").encode(), "is no export of agno_store"),
        (b'{"agno_store_export":2,"release":"9.1"}\n', "version 2 of the format, of agno_store 9.1"),
    ],
    ids=["empty", "a database", "no first line", "a later release"],
)
@pytest.mark.backends("sqlite")
def test_what_is_no_export_of_ours_is_refused(target: Any, tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "file.jsonl"
    file.write_bytes(content)
    with pytest.raises(InvalidArgument, match=reason) as refused:
        target.import_from(file)
    assert "file.jsonl" in str(refused.value)


@pytest.mark.backends("sqlite")
def test_what_is_no_source_is_refused(target: Any, tmp_path: Path) -> None:
    target.upsert_session(session("s"))
    for source, reason in (
        (tmp_path / "nothing.jsonl", "nothing.jsonl cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        ("sqlite:///agents.db", "A URL is no file"),
        (Path("postgresql://ada:secret99@host/db"), "A URL is no file"),
        (io.StringIO(HEADER), "is a stream of text"),
        (7, "7 is neither a file nor a store"),
        (target, "This is the store itself"),
        (SqliteDb(db_engine=target.db_engine), "This is the store itself"),
    ):
        with pytest.raises(InvalidArgument, match=reason):
            target.import_from(source)
    with SqliteDb(tmp_path / "nothing.db") as empty_one, pytest.raises(SchemaMissing):
        target.import_from(empty_one)
    with SqliteDb(tmp_path / "nothing.db") as empty_one, pytest.raises(SchemaMissing):
        empty_one.export(tmp_path / "x.jsonl")
    assert not (tmp_path / "nothing.db").exists()
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize("place", ["postgresql://ada:secret99@host/db", Path("mysql://ada:secret99@host/db")])
@pytest.mark.backends("sqlite")
def test_a_url_is_nowhere_to_write_to_and_is_not_repeated(source: Any, place: str | Path) -> None:
    append(source, "s", "r")
    with pytest.raises(InvalidArgument, match="A URL is no file") as refused:
        source.export(place)
    assert "secret99" not in str(refused.value)
    with pytest.raises(InvalidArgument, match="is a stream of text"):
        source.export(io.StringIO())


@pytest.mark.backends("sqlite")
def test_what_comes_through_a_pipe_is_not_compared_and_that_is_said_beforehand(target: Any, tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(InvalidArgument, match="cannot be read again"):
        target.import_from(pipe, verify=True)
    ends = os.pipe()
    with os.fdopen(ends[0], "rb") as reading, os.fdopen(ends[1], "wb") as writing:
        writing.write("\n".join([HEADER, line("s"), end(1)]).encode())
        writing.close()
        with pytest.raises(InvalidArgument, match="cannot be read again"):
            target.import_from(reading, verify=True)
        assert target.import_from(reading).sessions == Counts(1)


@pytest.mark.backends("sqlite")
def test_two_stores_on_one_connection_in_memory_are_not_copied_into_each_other() -> None:
    one = SqliteDb(db_url="sqlite://")
    other = SqliteDb(db_engine=one.db_engine, table_name="other")
    append(one, "s", "a")
    with pytest.raises(InvalidArgument, match="by way of a file"):
        other.import_from(one)
    file = io.BytesIO()
    one.export(file)
    assert imported(other, file.getvalue().decode()).runs == Counts(1)


@pytest.mark.backends("sqlite")
def test_a_file_is_replaced_when_the_new_one_is_whole(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(source, "s", "a")
    folder = tmp_path / "files"
    folder.mkdir()
    file, link = folder / "x.jsonl.gz", folder / "link.jsonl.gz"
    link.symlink_to(file)
    source.export(link)
    before = file.read_bytes()
    append(source, "t", "a")

    class Full(Exception):
        pass

    def full(done: int, total: int | None) -> None:
        raise Full(f"{done} of {total}")

    with pytest.raises(Full, match="1 of 2"):
        source.export(file, watch=full)
    assert (file.read_bytes(), sorted(folder.iterdir())) == (before, [link, file])
    source.export(link)
    assert file.read_bytes() != before
    assert link.is_symlink()
    for place in (folder, folder / "no" / "x.jsonl", Path("/dev/full")):
        with pytest.raises(AgnoStoreError, match="cannot be written"):
            source.export(place)
    source.export("/dev/null")


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", Path("/dev/fd/{}")], ids=str)
@pytest.mark.backends("sqlite")
def test_what_is_open_is_written_to_as_it_was_opened(source: Any, tmp_path: Path, name: str | Path) -> None:
    append(source, "s", "a")
    file, whole = tmp_path / "all.jsonl.gz", io.BytesIO()
    source.export(whole)
    file.write_bytes(b"before\n")
    with file.open("ab") as behind:
        for _ in range(2):
            source.export(type(name)(str(name).format(behind.fileno())))
        behind.write(b"after\n")
    assert file.read_bytes() == b"before\n" + 2 * whole.getvalue() + b"after\n"
    ends = os.pipe()
    with os.fdopen(ends[0], "rb") as reading, os.fdopen(ends[1], "wb") as writing:
        source.export(type(name)(str(name).format(writing.fileno())))
        writing.close()
        assert reading.read() == whole.getvalue()
    with pytest.raises(AgnoStoreError, match="cannot be written: Bad file descriptor"):
        source.export(type(name)(str(name).format(ends[1])))


@pytest.mark.parametrize("beside", ["", "-wal", "-shm", "-journal"])
@pytest.mark.backends("sqlite")
def test_no_database_is_replaced_by_a_file(source: Any, tmp_path: Path, beside: str) -> None:
    append(source, "s", "a")
    with SqliteDb(tmp_path / "other.db") as other:
        append(other, "s", "a")
    link = tmp_path / "link.jsonl"
    for database in (Path(source.db_engine.url.database), tmp_path / "other.db"):
        place = database.with_name(f"{database.name}{beside}")
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        before = database.read_bytes(), sorted(tmp_path.iterdir())
        for name in (place, str(place), link):
            with pytest.raises(InvalidArgument, match="is a SQLite database, or belongs to one"):
                source.export(name)
        assert (database.read_bytes(), sorted(tmp_path.iterdir())) == before
    source.export(tmp_path / f"x{beside}")


def test_a_damaged_payload_goes_where_it_can_and_is_reported_where_it_cannot(backend: str, opened: Opened) -> None:
    source, target = opened("sqlite"), opened(backend)
    for key in ("good", "one", "other"):
        append(source, key, "r")
    overwrite(source, "runs", "run_data", '{"cut', session_id="one")
    overwrite(source, "sessions", "session_data", '{"cut', session_id="one")  # where its name would stand
    overwrite(source, "sessions", "session_data", '{"a" :  [1.50, 1e400]}', session_id="good")
    overwrite(source, "sessions", "updated_at", "never", session_id="other")
    file = io.BytesIO()
    written = source.export(file)
    done = imported(target, file.getvalue().decode(), verify=True)
    directly = target.import_from(source, verify=True)
    assert [str(problem) for problem in written.problems] == [
        "session 'other': the updated_at of the session is 'never'"
    ]
    refused = target.dialect.title == "PostgreSQL"  # whose JSON has to be one
    assert ["session 'one'" in problem.place for problem in done.problems] == [True] * refused
    assert len(directly.problems) == 1 + refused
    wanted = {"good"} if refused else {"good", "one"}
    for table, rows in content(target).items():
        assert rows == [row for row in content(source)[table] if row["session_id"] in wanted]
