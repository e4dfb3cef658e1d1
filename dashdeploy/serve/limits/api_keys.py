"""API keys: who may send requests.

A key comes as ``Authorization: Bearer KEY``, over HTTP as a header and over gRPC as metadata.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from dashdeploy.errors import InputError
from dashdeploy.serve.protocol.errors import RequestError


class ApiKeys:
    """The keys that let a request in.

    Args:
        keys: the keys; if there are none, no key is `needed`.
    """

    def __init__(self, keys: frozenset[str]) -> None:
        self._keys = [key.encode() for key in keys]

    @property
    def needed(self) -> bool:
        """Whether a request has to bring one."""
        return bool(self._keys)

    def check(self, authorization: str | bytes | None) -> None:
        """Refuse a request without a valid key.

        Args:
            authorization: the value of its ``Authorization`` header or metadata.

        Raises:
            RequestError: 401.
        """
        given = (
            authorization.encode("latin-1", "replace") if isinstance(authorization, str) else authorization
        )
        scheme, _, key = (given or b"").partition(b" ")
        # Every key is compared, in constant time, so that the time to refuse tells nothing about them.
        matches = [hmac.compare_digest(key.strip(), known) for known in self._keys]
        if scheme.lower() != b"bearer" or not any(matches):
            raise RequestError(401, "a valid API key is needed: Authorization: Bearer KEY")


def read_api_keys(api_key_file: Path) -> frozenset[str]:
    """The keys in a file, one per line; empty lines and lines that begin with # are left out.

    Raises:
        InputError: the file cannot be read, or holds no key.
    """
    try:
        lines = api_key_file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`api_key_file={api_key_file}`: cannot be read: {error}") from error
    keys = frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise InputError(f"`api_key_file={api_key_file}`: the file holds no key; write one per line")
    return keys
