"""A URL that its driver cannot make sense of."""

from __future__ import annotations

from sqlalchemy.engine import URL

from agno_store.errors import ConfigurationError
from agno_store.urls import redacted, without_secrets


def refused_options(url: URL, error: BaseException) -> ConfigurationError:
    """Return what is raised where a driver cannot make sense of a URL: to wait or to try again helps nothing."""
    said = without_secrets(f"{type(error).__name__}: {error}".strip(), url).rstrip(".")
    return ConfigurationError(
        f"{redacted(url)}: the driver cannot make sense of the URL's options: {said}. Correct what is behind the ? in "
        "it. Nothing was sent."
    )
