"""Addresses to listen on, and TLS: bound or refused with one clear line."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from pathlib import Path

from dashdeploy.errors import InputError

BACKLOG = 2048


def check_host(host: str, *, allow_remote: bool) -> None:
    """Refuse an address that other machines can reach, unless that is wanted.

    Raises:
        InputError: `host` is not a loopback address.
    """
    if allow_remote or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InputError(
            f"`host={host}`: other machines could reach the server there; add `allow_remote=True` if they are to, "
            "and consider `api_keys` and `tls_certificate`"
        )


def bind(host: str, port: int, *, parameter: str) -> socket.socket:
    """A socket that listens at the address.

    Args:
        host: the address.
        port: the port; 0 takes any free one.
        parameter: the parameter that holds the port, for the messages.

    Raises:
        InputError: the port is out of range, in use or forbidden, or the host is not this machine's.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"`{parameter}={port}`: not a port; use 1 to 65535, or 0 for any free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(
            f"`host={host}`: not an address of this machine: {error.strerror or error}"
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(_refusal(host, port, parameter, error)) from error
    return listener


def address_of(host: str, port: int) -> str:
    """``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_tls(certificate: Path | None, key: Path | None) -> bool:
    """Whether TLS is on; its files are read once, so that a mistake shows before the port is bound.

    Raises:
        InputError: only one of the two is given, a file cannot be read, or they do not belong together.
    """
    if certificate is None and key is None:
        return False
    if certificate is None or key is None:
        raise InputError("`tls_certificate` and `tls_key`: give both or neither")
    for parameter, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise InputError(f"`{parameter}={path}`: cannot be read: {error.strerror or error}") from error

    def no_password() -> str:
        raise InputError(f"`tls_key={key}`: the key is encrypted; give one without a passphrase")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"`tls_certificate={certificate}` `tls_key={key}`: not a PEM certificate and its private key: {reason}"
        ) from error
    return True


def _refusal(host: str, port: int, parameter: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"`{parameter}={port}`: already in use on {host}; choose another port, or 0 for any free one"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"`{parameter}={port}`: not permitted; choose a port from 1024 up"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"`host={host}`: not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all its addresses"
        )
    return f"`host={host}` `{parameter}={port}`: cannot listen: {error.strerror or error}"
