"""What is stored: the same sessions and runs for every system, from one seed.

One run is about 2 kB of JSON: a user's message, the assistant's answer, and a call of a tool in between.
"""

from __future__ import annotations

import random
from typing import Any

SEED = 20260
USER = "user-7"
AGENT = "helper"
START = 1_760_000_000
WORDS: tuple[str, ...] = (
    *("order", "customer", "invoice", "deliver", "tomorrow", "Zürich", "東京", "refund", "please", "because", "number"),
    *("the", "a", "of", "in", "late", "status", "paid", "and", "or", "with", "without", "answer", "result", "null"),
)


def text(random_: random.Random, letters: int) -> str:
    """Return words of about so many letters."""
    words: list[str] = []
    while sum(map(len, words)) + len(words) < letters:
        words.append(random_.choice(WORDS) + random_.choice(("", "", "", f"-{random_.randrange(10**6)}")))
    return " ".join(words)


def run(session_id: str, number: int) -> dict[str, Any]:
    """Return the run of that number, the same whenever it is asked for."""
    random_ = random.Random(f"{SEED}/{session_id}/{number}")
    asked, answer, moment = text(random_, 280), text(random_, 520), START + number
    arguments = f'{{"customer": {random_.randrange(10**6)}, "note": "{text(random_, 60)}"}}'
    call = {"id": f"call_{random_.randrange(10**9)}", "type": "function"}
    call["function"] = {"name": "find_order", "arguments": arguments}  # type: ignore[assignment]
    told = {"input_tokens": 412, "output_tokens": 96, "total_tokens": 508}
    messages = [
        {"id": f"m{number}-0", "role": "user", "content": asked, "from_history": False, "created_at": moment},
        {"id": f"m{number}-1", "role": "assistant", "tool_calls": [call], "metrics": told, "created_at": moment},
        {
            "id": f"m{number}-2",
            "role": "tool",
            "content": text(random_, 160),
            "tool_call_id": call["id"],
            "created_at": moment,
        },
        {"id": f"m{number}-3", "role": "assistant", "content": answer, "metrics": told, "created_at": moment},
    ]
    return {
        "run_id": f"{session_id}-{number}",
        "session_id": session_id,
        "agent_id": AGENT,
        "agent_name": "Helper",
        "user_id": USER,
        "status": "COMPLETED",
        "model": "model-1",
        "model_provider": "provider",
        "content": answer,
        "content_type": "str",
        "messages": messages,
        "metrics": told,
        "created_at": moment,
    }


def session_data(session_id: str, number: int) -> dict[str, Any]:
    """Return what a session holds after its turn of that number."""
    random_ = random.Random(f"{SEED}/{session_id}")
    state = {"turns": number, "cart": [random_.randrange(1000) for _ in range(5)], "note": text(random_, 200)}
    return {"session_name": f"About {session_id}", "session_state": state}
