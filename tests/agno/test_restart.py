"""What is told to one process is known to the next, which shares nothing with it but the database."""

from __future__ import annotations

import json


def test_a_new_process_knows_what_an_earlier_one_was_told(fresh_url, python):
    told = json.loads(python("-m", "tests.agno.restarted", fresh_url, "tell").splitlines()[-1])
    assert told == {"paused": "PAUSED", "workflow": "run 1"}
    asked = json.loads(python("-m", "tests.agno.restarted", fresh_url, "ask").splitlines()[-1])
    assert asked == {
        "chat": "You are Ada",
        "summary": "They spoke of: I am Ada; Who am I?",
        "paid": "paid 5",
        "basket": "['tea', 'milk']",
        "team": "You are Ada",
        "workflow": "run 2",
        "runs": 10,
    }
