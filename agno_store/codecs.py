"""What seals payloads before they are stored: the form of a codec, and one that is ready to use.

A store that is given ``codec=`` hands it the bytes of each payload on the way to the database, and on the way back.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from typing import Protocol

from agno_store.envelope import checked_key_id
from agno_store.errors import ConfigurationError
from agno_store.hooks import PayloadCodec, Place

__all__ = ["AesGcm", "PayloadCodec", "Place"]


class AesGcm:
    """AES-256 in Galois/Counter Mode, of the ``cryptography`` package: nothing is read or changed without the key.

    ``keys`` are 32 bytes each, or their base64 text, by ids; ``current`` is the id of the one to seal with, and need
    not be said where there is one. Each session has its own key, made of that one, and each payload is bound to
    its place: moved to another session, run, column or tenant it is refused.

    Raises ConfigurationError for keys that are none, and where ``cryptography`` is not installed.
    """

    def __init__(self, keys: Mapping[str, bytes | str], current: str | None = None) -> None:
        if not isinstance(keys, Mapping):  # and no word of what was given: it may be the keys themselves
            raise ConfigurationError(
                f"AesGcm is given a {type(keys).__name__}: it must be a dict of keys by their ids, as {{'2026': key}}."
            )
        self._keys = {checked_key_id(key_id): _key(key_id, key) for key_id, key in keys.items()}
        if current is None and len(self._keys) == 1:
            (current,) = self._keys
        if current not in self._keys:
            raise ConfigurationError(f"current={current!r}: it must be one of the keys, {', '.join(self._keys)}.")
        self.key_id = current
        _cipher(bytes(32))  # raises where the package is not there, now and not with the first payload

    @staticmethod
    def new_key() -> str:
        """Return a key made anew, as base64 text."""
        return base64.b64encode(os.urandom(32)).decode()

    def encode(self, data: bytes, place: Place) -> bytes:
        """Return ``data`` sealed with the current key."""
        nonce = os.urandom(12)
        sealed: bytes = self._of_session(self.key_id, place).encrypt(nonce, data, place.to_bytes())
        return nonce + sealed

    def decode(self, data: bytes, key_id: str, place: Place) -> bytes:
        """Return what was sealed. Raises KeyError for an unknown key, ValueError where it was not sealed for here."""
        from cryptography.exceptions import InvalidTag

        cipher = self._of_session(key_id, place)
        try:
            opened: bytes = cipher.decrypt(data[:12], data[12:], place.to_bytes())
        except (InvalidTag, ValueError) as error:
            raise ValueError("it was changed, moved from another place, or sealed with another key") from error
        return opened

    def _of_session(self, key_id: str, place: Place) -> _Cipher:
        # A nonce of 96 random bits must not be drawn more often than some thousand million times for one key.
        session = Place("", place.session_id, None, place.tenant_id).to_bytes()
        return _cipher(hmac.digest(self._keys[key_id], session, "sha256"))

    def __repr__(self) -> str:
        return f"AesGcm({', '.join(self._keys)}; current {self.key_id})"


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...


def _cipher(key: bytes) -> _Cipher:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigurationError(
            'AesGcm needs the package cryptography, which is not installed. Run: pip install "agno-store[crypto]"'
        ) from error
    return AESGCM(key)


def _key(key_id: str, key: bytes | str) -> bytes:
    try:
        found = base64.b64decode(key, validate=True) if isinstance(key, str) else bytes(key)
    except (binascii.Error, ValueError, TypeError):
        found = b""
    if len(found) != 32:  # and no word of what was given: it may be most of a key
        raise ConfigurationError(f"The key {key_id!r} must be 32 bytes, or their base64 text, as new_key() makes it.")
    return found
