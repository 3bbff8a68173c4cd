"""A real Agent that is given pictures: they are kept beside its runs, and are there when one looks at them."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from agno.agent import Agent
from agno.media import Image

from agno_store import open_db
from tests.agno.scripted import scripted
from tests.contract.database import dump, statements

SIZE = 20_000_000 if os.environ.get("TEST_ALL") else 2_000_000


def size(db: Any) -> int:
    """Bytes of the largest run's row."""
    return max(len(row["run_data"]) for row in dump(db)["runs"])


@pytest.mark.backends("sqlite")
def test_a_large_picture_comes_back_and_is_read_when_its_run_is(fresh_url: str) -> None:
    picture = random.Random(1).randbytes(SIZE)
    with open_db(fresh_url, media_over=100_000) as db:
        agent = Agent(id="helper", model=scripted(), db=db, add_history_to_context=True, num_history_runs=1)
        agent.run("What is it?", images=[Image(content=picture, mime_type="image/png")], session_id="s", user_id="u")
        agent.run("And now?", session_id="s", user_id="u")
        assert len(dump(db)["media"]) == 1
        assert size(db) < 20_000
    with open_db(fresh_url) as db:
        agent = Agent(id="helper", model=scripted(), db=db)
        session = agent.get_session("s", user_id="u")
        again = db.get_session("s", "agent", user_id="u")
        with statements(db.db_engine) as sent:
            for found in (session, again):
                (image,) = found.runs[0].input.images
                assert image.content == picture
        assert sent == []
        assert db.delete_session("s", user_id="u")
        assert dump(db)["media"] == []


@pytest.mark.backends("sqlite")
def test_the_picture_of_each_run_of_a_conversation_is_kept_once(fresh_url: str) -> None:
    pictures = [random.Random(n).randbytes(20_000) for n in range(2)]
    with open_db(fresh_url, media_over=10_000) as db:
        agent = Agent(id="helper", model=scripted(), db=db, add_history_to_context=True, num_history_runs=3)
        for n in range(4):
            images = [Image(content=pictures[n % 2], mime_type="image/png")]
            agent.run(f"question {n}", images=images, session_id="s", user_id="u")
        assert [row["size"] for row in dump(db)["media"]] == [26_668] * 2
        runs = agent.get_session("s", user_id="u").runs
        assert [run.input.images[0].content for run in runs] == [pictures[n % 2] for n in range(4)]
