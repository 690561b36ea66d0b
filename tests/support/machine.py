"""What tests take of the machine: no GPU unless asked, and free ports."""

import os
import socket


def hide_gpu() -> None:
    """Hide a GPU from this process and from those that it starts, but where `make test-gpu` asks for it."""
    if "TEST_GPU" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
