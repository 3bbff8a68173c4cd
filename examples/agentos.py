"""AgentOS on agno_store, behind uvicorn: docs/howto/agentos.md.

``AGNO_STORE_DB_URL`` and ``AGNO_STORE_TABLE`` say where its sessions are, as they do for ``agno-store``. The tables are
made by ``agno-store upgrade``; this app starts where they are as it needs them, and changes none. Without
``OPENAI_API_KEY`` a model answers that needs no network.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agno.agent import Agent
from agno.os import AgentOS
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from agno_store import AgnoStoreError, open_async_db


def make() -> FastAPI:
    """Return the application: ``uvicorn --app-dir examples --factory agentos:make``."""
    db = open_async_db(
        os.environ.get("AGNO_STORE_DB_URL", "sqlite:///tmp/agentos.db"),
        table_name=os.environ.get("AGNO_STORE_TABLE", "agent_sessions"),
    )
    assistant = Agent(
        id="assistant",
        name="Assistant",
        model=model(),
        db=db,
        add_history_to_context=True,
        num_history_runs=5,
        enable_session_summaries=True,
        telemetry=False,
    )

    @asynccontextmanager
    async def gate(app: FastAPI) -> AsyncIterator[None]:
        """Refuse to start on tables that this release does not work with; the error names the command to run."""
        async with db:
            (await db.schema_status()).raise_unless_usable()
            yield

    app = AgentOS(id="example", agents=[assistant], lifespan=gate, telemetry=False).get_app()

    @app.get("/ready", tags=["Core"])
    async def ready() -> JSONResponse:
        """Tell a probe whether sessions can be kept: 200, or 503 with the kind of failure."""
        try:
            seconds = await db.ping()
            (await db.schema_status()).raise_unless_usable()
        except AgnoStoreError as error:
            return JSONResponse({"ready": False, "why": type(error).__name__}, status_code=503)
        return JSONResponse({"ready": True, "seconds": round(seconds, 6)})

    return app


def model() -> Any:
    """Return OpenAI's model where there is a key for it, else one that answers from its prompt alone."""
    if os.environ.get("OPENAI_API_KEY"):
        from agno.models.openai import OpenAIChat

        return OpenAIChat(id="gpt-5-mini")
    from offline_model import OfflineModel

    return OfflineModel()
