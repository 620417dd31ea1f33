"""Which cluster a stage joins: one that answers, and none elsewhere without a token to show."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import UserError

__all__ = ["answers", "check_address", "is_here"]

TOKEN_FILE = Path(".ray/auth_token")


def check_address(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> None:
    """Refuse a cluster on another machine that would be joined without a token.

    Whoever reaches such a cluster runs code on it, so one without tokens is not joined at all.

    Raises
    ------
    UserError
        RAY_ADDRESS leaves this machine, and no token is set or token authentication is off.
    """
    address = environment.get("RAY_ADDRESS", "local")
    if is_here(address):
        return
    if environment.get("RAY_AUTH_MODE", "token").lower() != "token":
        raise UserError(
            f"RAY_ADDRESS is {address!r}, on another machine, but RAY_AUTH_MODE switches tokens "
            "off; start that cluster with RAY_AUTH_MODE=token and set it here too"
        )
    file = Path(environment.get("RAY_AUTH_TOKEN_PATH") or (home or Path.home()) / TOKEN_FILE)
    if not environment.get("RAY_AUTH_TOKEN") and not file.is_file():
        raise UserError(
            f"RAY_ADDRESS is {address!r}, on another machine, but there is no token; set "
            "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds the cluster's token"
        )


def answers(address: str, seconds: float = 10.0) -> bool:
    """Whether something listens at ``host:port``; True of addresses that only Ray understands.

    Ray itself would ask again for minutes, with a warning each time.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return True
    try:
        with socket.create_connection((host.strip("[]"), int(port)), seconds):
            return True
    except (OSError, OverflowError):
        return False


def is_here(address: str) -> bool:
    """Whether an address is of this machine, reached without leaving it.

    Examples
    --------
    >>> [is_here(a) for a in ("local", "127.0.0.1:6379", "ray://[::1]:10001", "localhost:6379")]
    [True, True, True, True]
    >>> [is_here(a) for a in ("10.0.0.7:6379", "ray://head:10001", "auto", "127.0.0.1.evil:1")]
    [False, False, False, False]
    """
    if address == "local":
        return True
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
