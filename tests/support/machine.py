"""What tests take of the machine: no GPU unless asked, free ports, and no host's name that nobody asked for."""

import os
import socket
from typing import Any

LOOKED_UP: list[str] = []
"""The hosts that this process has looked for since `note_lookups`."""


def hide_gpu() -> None:
    """Hide a GPU from this process and from those that it starts, but where `make test-gpu` asks for it."""
    if "TEST_GPU" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def note_lookups() -> None:
    """From now on note in LOOKED_UP each host that is looked up; a second call changes nothing."""
    lookup = socket.getaddrinfo
    if lookup.__name__ == "noted":
        return

    def noted(host: Any, *arguments: Any, **keywords: Any) -> Any:
        LOOKED_UP.append(str(host))
        return lookup(host, *arguments, **keywords)

    socket.getaddrinfo = noted
