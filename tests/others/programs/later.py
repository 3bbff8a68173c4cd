"""An agent on agno 2 or 3 that goes on with a conversation of an earlier agno.

    python -m tests.others.programs.later URL TABLE_NAME SESSION_ID USER

It prints what it answers to "Who am I?", and how many runs and which summary the session has afterwards.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from agno.agent import Agent

from agno_store import open_db
from tests.others.programs import complaints
from tests.others.programs.scripted import from_memory, scripted


def go_on(db: Any, session_id: str, user: str) -> dict[str, Any]:
    agent = Agent(id="assistant", db=db, model=scripted(from_memory), add_history_to_context=True)
    answer = agent.run("Who am I?", session_id=session_id, user_id=user)
    read = db.get_session(session_id, user_id=user)
    summary = None if read.summary is None else read.summary.summary
    return {"answer": answer.content, "runs": len(read.runs), "summary": summary}


if __name__ == "__main__":
    url, table_name, *rest = sys.argv[1:]
    with open_db(url, table_name=table_name) as opened, complaints.none():
        told = go_on(opened, *rest)
    sys.stdout.write(json.dumps(told))
