"""URLs and messages as they may be shown: without a secret in them."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL

LONG_ENOUGH = 6

_SECRETS = ("pass", "secret", "token", "key", "credential")

_URL = r"[\w+.-]+(?:://?|//)"
"""How a URL begins: also one without its colon, or that a path has taken a slash from."""

# Up to the last @ of the word, for an @ may be part of the password; or to the first one behind blanks, unless what
# stands there is a port.
_PASSWORD = re.compile(rf"({_URL}[^\s:@/]*:)(?:\S*@|(?!\d+(?:[/?:.\s]|$))[^\n@]*@)")

_PARAMETER = re.compile(rf"([?&][^=&\s]*(?:{'|'.join(_SECRETS)})[^=&\s]*=)(?!\*\*\*)[^&\s]+", re.IGNORECASE)


def _is_secret(name: str) -> bool:
    return any(secret in name.casefold() for secret in _SECRETS)


def redacted(url: URL) -> str:
    """Return a URL as text with its password, and what looks like one in its query, hidden."""
    query = {name: "***" if _is_secret(name) else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def bare(url: URL) -> URL:
    """Return a URL without its password, and without what looks like one in its query."""
    query = {name: value for name, value in url.query.items() if not _is_secret(name)}
    return url._replace(password=None).set(query=query)  # set() takes None for: leave it as it is


def without_secrets(text: str, url: URL) -> str:
    """Return what a driver says, with the URL's secrets hidden."""
    hidden = [str(url.password)] if url.password else []
    hidden += [str(value) for name, value in url.query.items() if _is_secret(name)]
    for secret in hidden:
        # A short one is part of many words: to hide it there would only give it away.
        if len(secret) >= LONG_ENOUGH:
            text = text.replace(secret, "***")
        else:
            text = re.sub(rf"(?<=[:=]){re.escape(secret)}(?=[@\s]|$)", "***", text)
    return text


def masked(text: str) -> str:
    """Return a text with the secrets hidden of whatever in it is shaped like a URL."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def has_url(text: str) -> bool:
    """Whether something in a text is shaped like the URL of a database."""
    return re.search(r"\w://", text) is not None
