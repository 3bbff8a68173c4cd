"""What to do about an error that says what is wrong and no more."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy.exc import DBAPIError


class Advice:
    """What a dialect adds to the driver's words."""

    without_connection: ClassVar[str] = "Is the server running and the URL right?"
    """What is asked where no connection could be had."""

    def cure(self, error: DBAPIError) -> str:
        """What helps where the database refused, as far as that can be told."""
        return ""

    def is_no_text(self, error: DBAPIError) -> bool:
        """Whether bytes are stored that the driver cannot make a text of."""
        return False

    def is_mended(self, error: DBAPIError) -> bool:
        """Whether the connection that failed so reads them in another way from now on."""
        return False

    def unquoted(self, said: str) -> str:
        """Return a message of the driver's without what it quotes of such bytes: they are somebody's conversation."""
        return said
