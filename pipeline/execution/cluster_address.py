"""Which cluster a stage joins: that of RAY_ADDRESS, and none elsewhere without a token to show.

An address comes only from the environment of the person who starts the command: the cluster is
given code, data and token, and what it answers is unpickled.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from pipeline.common.errors import UserError

__all__ = ["answers", "check_address", "check_asked", "is_here", "named_address"]

TOKEN_FILE = Path(".ray/auth_token")
HOST_PORT = re.compile(r"(?:[^\s:/\[\]@]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def named_address(environment: Mapping[str, str] = os.environ) -> str:
    """Return RAY_ADDRESS; "local" where it names nothing.

    Raises
    ------
    UserError
        It is no HOST:PORT, or "auto", and what that stands for is not known or was said by
        somebody else.
    """
    address = environment.get("RAY_ADDRESS", "").strip() or "local"
    if address == "auto":
        return _started_here(environment)
    found = HOST_PORT.fullmatch(address)
    if address != "local" and (found is None or not 0 < int(found[1]) < 65536):
        raise UserError(
            f"RAY_ADDRESS: got {address!r}; accepts HOST:PORT, such as 10.0.0.7:6379, of a cluster "
            "that this machine is part of, or auto"
        )
    return address


def _started_here(environment: Mapping[str, str]) -> str:
    """Return the address that `ray start` left on this machine, for "auto"."""
    file = Path(environment.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"
    try:
        owner, address = file.stat().st_uid, file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise UserError(
            f"RAY_ADDRESS is 'auto', but {file} names no cluster of this machine; start one, or "
            "set RAY_ADDRESS to HOST:PORT"
        ) from None
    # The folder is everybody's: another user could name a cluster of their own there.
    if owner not in (0, os.getuid()):
        raise UserError(
            f"RAY_ADDRESS is 'auto', but {file} belongs to another user of this machine; set "
            "RAY_ADDRESS to the HOST:PORT that you mean"
        )
    return address


def check_asked(asked: str | None, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to run a study here that asks for a cluster (`resources.address`).

    Raises
    ------
    UserError
        RAY_ADDRESS names none.
    """
    if asked is not None and named_address(environment) == "local":
        raise UserError(
            "params.yaml: resources.address: this study wants a cluster; set RAY_ADDRESS to the "
            "HOST:PORT of yours, or remove that line to run it on this machine"
        )


def check_address(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> str:
    """Return the address to join; refuse another machine's that would be joined without a token.

    Anyone who reaches such a cluster runs code on it, so one without tokens is not joined at all.

    Raises
    ------
    UserError
        RAY_ADDRESS leaves this machine, and no token is set or token authentication is off.
    """
    address = named_address(environment)
    if is_here(address):
        return address
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
    return address


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
    >>> [is_here(a) for a in ("local", "127.0.0.1:6379", "[::1]:6379", "localhost:6379")]
    [True, True, True, True]
    >>> [is_here(a) for a in ("10.0.0.7:6379", "head:6379", "auto", "127.0.0.1.evil:1")]
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
