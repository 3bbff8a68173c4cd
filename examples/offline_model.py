"""A chat model without a network: it answers from what stands in its prompt, and from nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse


@dataclass
class OfflineModel(Model):
    """Knows a name only if some message of the conversation that it is given says so."""

    id: str = "offline"

    def _answer(self, messages: list[Message]) -> ModelResponse:
        said = [message.get_content_string() for message in messages if message.role == "user"]
        names = [found[1] for text in said for found in [re.search(r"[Mm]y name is (\w+)", text)] if found]
        if "Provide the summary of the conversation." in said[-1]:
            told = re.findall(r"[Mm]y name is (\w+)", "\n".join(message.get_content_string() for message in messages))
            about = f"The user is called {told[-1]}." if told else "The user said hello."
            text = json.dumps({"summary": about, "topics": ["introductions"]})
        elif said[-1].endswith("?"):
            text = f"Your name is {names[-1]}." if names else "I do not know your name."
        else:
            text = f"Nice to meet you, {names[-1]}." if names else "Hello."
        return ModelResponse(role="assistant", content=text)

    def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer(kwargs["messages"])

    async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer(kwargs["messages"])

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        yield self._answer(kwargs["messages"])

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        yield self._answer(kwargs["messages"])

    def _parse_provider_response(self, response: ModelResponse, **kwargs: Any) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response: ModelResponse) -> ModelResponse:
        return response
