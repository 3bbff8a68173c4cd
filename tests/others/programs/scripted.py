"""A chat model that plays a script, on any release of agno from 1.8 on: no network.

    agent = Agent(model=scripted("Hello.", Call("add", a=1, b=2), from_memory), ...)

One reply is one turn: a text, a Call, a list of Calls, or a function of what was said, a list of pairs of role and
text, that returns one of these. After its last reply it says "You said: ...". A summary that agno asks for takes no
reply from the script. ``turns`` is what it was sent.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from agno.models.base import Model
from agno.models.response import ModelResponse

SUMMARY_WANTED = ("Provide the summary of the conversation", "<conversation>")


class Call:
    """A reply that calls a tool."""

    def __init__(self, tool: str, **arguments: Any) -> None:
        self.tool = tool
        self.arguments = arguments


class Tape:
    """The replies and the turns. All copies of a model play from one tape, as agno copies models at will."""

    def __init__(self, replies: tuple[Any, ...] = ()) -> None:
        self.replies = deque(replies)
        self.turns: list[list[tuple[str, str]]] = []
        self.ids = itertools.count(1)

    def __deepcopy__(self, _memo: object) -> Tape:
        return self

    def next(self, messages: list[Any]) -> Any:
        said = [(message.role, message.get_content_string()) for message in messages]
        self.turns.append(said)
        everything = "\n".join(text for _, text in said)
        if any(wanted in everything for wanted in SUMMARY_WANTED):
            return json.dumps({"summary": "They got to know each other.", "topics": ["names"]})
        reply = self.replies.popleft() if self.replies else f"You said: {said[-1][1]}"
        return reply(said) if callable(reply) else reply


@dataclass
class ScriptedModel(Model):
    id: str = "scripted"
    name: str | None = "Scripted"
    provider: str | None = "Nobody"
    tape: Tape = field(default_factory=Tape)

    @property
    def turns(self) -> list[list[tuple[str, str]]]:
        return self.tape.turns

    def invoke(self, *_: Any, **asked: Any) -> ModelResponse:
        reply = self.tape.next(asked["messages"])
        response = ModelResponse(role="assistant")
        calls = reply if isinstance(reply, list) else [reply]
        if isinstance(calls[0], Call):
            response.tool_calls = [self._tool_call(call) for call in calls]
        else:
            response.content = reply
        return response

    async def ainvoke(self, *_: Any, **asked: Any) -> ModelResponse:
        return self.invoke(**asked)

    def invoke_stream(self, *_: Any, **asked: Any) -> Iterator[ModelResponse]:
        yield self.invoke(**asked)

    async def ainvoke_stream(self, *_: Any, **asked: Any) -> AsyncIterator[ModelResponse]:
        yield self.invoke(**asked)

    def _parse_provider_response(self, response: ModelResponse, **_: Any) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response: ModelResponse, **_: Any) -> ModelResponse:
        return response

    # What agno 1 calls the two.
    parse_provider_response = _parse_provider_response
    parse_provider_response_delta = _parse_provider_response_delta

    def _tool_call(self, call: Call) -> dict[str, Any]:
        function = {"name": call.tool, "arguments": json.dumps(call.arguments)}
        return {"id": f"call_{next(self.tape.ids)}", "type": "function", "function": function}


def scripted(*replies: Any) -> ScriptedModel:
    """Return a model that gives these replies, one a turn."""
    return ScriptedModel(tape=Tape(replies))


def from_memory(said: list[tuple[str, str]]) -> str:
    """Answer who the user is from what the prompt tells of earlier runs, as a model does."""
    names = [text.removeprefix("I am ") for role, text in said if role == "user" and text.startswith("I am ")]
    return f"You are {names[-1]}" if names else "I do not know you."
