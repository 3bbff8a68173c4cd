"""A chat model that plays a script: real Agents, Teams and Workflows run on it, without a network.

    agent = Agent(model=scripted("hello", Call("add", a=1, b=2), lambda turn: f"it is {turn.text}"), ...)

One reply is one turn of the model: a text, a Call, a list of Calls, an exception to raise, or a function of
the Turn that returns one of these; under ``arun`` it may be a coroutine function. After its last reply the
model says "You said: ...". ``model.turns`` is what it was sent, so that a test can see what the store gave
back, and not only what it says it holds. A summary or a name that agno asks for takes no reply from the script.
``put`` is a tool that changes the session's state.
"""

from __future__ import annotations

import inspect
import itertools
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from agno.metrics import MessageMetrics
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run import RunContext

SUMMARY_WANTED = "Provide the summary of the conversation."
NAME_WANTED = "Conversation Name:"
NAME = "A scripted name"
TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


class Call:
    """A reply that calls a tool."""

    def __init__(self, tool: str, **arguments: Any) -> None:
        self.tool = tool
        self.arguments = arguments


class Turn:
    """What agno sent for one reply."""

    def __init__(self, messages: list[Message], tools: list[dict[str, Any]] | None) -> None:
        self.said = [(message.role, message.get_content_string()) for message in messages]
        self.tools = [tool["function"]["name"] for tool in tools or []]

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """Role and text of every message but the system's and those that only call a tool."""
        return [(role, text) for role, text in self.said if role != "system" and text]

    @property
    def system(self) -> str:
        return "\n".join(text for role, text in self.said if role == "system")

    @property
    def text(self) -> str:
        """The last message: what the user said, or what the tool answered."""
        return self.said[-1][1]

    @property
    def everything(self) -> str:
        return "\n".join(text for _, text in self.said)


class Tape:
    """The replies and the turns. All copies of a model play from one tape, as agno copies models at will."""

    def __init__(self, replies: tuple[Any, ...] = ()) -> None:
        self.replies = deque(replies)
        self.turns: list[Turn] = []
        self.ids = itertools.count(1)

    def __deepcopy__(self, _memo: object) -> Tape:
        return self

    def next(self, turn: Turn) -> Any:
        self.turns.append(turn)
        if turn.text == SUMMARY_WANTED:
            topics = re.findall(r"User: (.+)", turn.system)
            return json.dumps({"summary": f"They spoke of: {'; '.join(topics)}", "topics": topics})
        if turn.text.rstrip().endswith(NAME_WANTED):
            return NAME
        reply = self.replies.popleft() if self.replies else f"You said: {turn.text}"
        return reply(turn) if callable(reply) else reply


@dataclass
class ScriptedModel(Model):
    id: str = "scripted"
    name: str | None = "Scripted"
    provider: str | None = "Nobody"
    tape: Tape = field(default_factory=Tape)

    @property
    def turns(self) -> list[Turn]:
        return self.tape.turns

    def invoke(self, messages: list[Message], **rest: Any) -> ModelResponse:
        return self._response(self.tape.next(Turn(messages, rest.get("tools"))))

    async def ainvoke(self, messages: list[Message], **rest: Any) -> ModelResponse:
        reply = self.tape.next(Turn(messages, rest.get("tools")))
        return self._response(await reply if inspect.isawaitable(reply) else reply)

    def invoke_stream(self, messages: list[Message], **rest: Any) -> Iterator[ModelResponse]:
        yield from _in_words(self.invoke(messages, **rest))

    async def ainvoke_stream(self, messages: list[Message], **rest: Any) -> AsyncIterator[ModelResponse]:
        for part in _in_words(await self.ainvoke(messages, **rest)):
            yield part

    def _parse_provider_response(self, response: ModelResponse, **_: Any) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response: ModelResponse) -> ModelResponse:
        return response

    def _response(self, reply: Any) -> ModelResponse:
        if isinstance(reply, BaseException):
            raise reply
        response = ModelResponse(role="assistant", response_usage=MessageMetrics(**TOKENS))
        calls = reply if isinstance(reply, list) else [reply]
        if isinstance(calls[0], Call):
            response.tool_calls = [self._tool_call(call) for call in calls]
        else:
            response.content = reply
        return response

    def _tool_call(self, call: Call) -> dict[str, Any]:
        function = {"name": call.tool, "arguments": json.dumps(call.arguments)}
        return {"id": f"call_{next(self.tape.ids)}", "type": "function", "function": function}


def scripted(*replies: Any) -> ScriptedModel:
    """Return a model that gives these replies, one a turn."""
    return ScriptedModel(tape=Tape(replies))


def put(run_context: RunContext, item: str) -> str:
    """Put an item into the basket."""
    basket = run_context.session_state.setdefault("basket", [])
    basket.append(item)
    return str(basket)


def _in_words(whole: ModelResponse) -> Iterator[ModelResponse]:
    if whole.content is None:
        yield whole
        return
    for word in re.findall(r"\s*\S+", whole.content):
        yield ModelResponse(role="assistant", content=word)
    yield ModelResponse(role="assistant", response_usage=whole.response_usage)
