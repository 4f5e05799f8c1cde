"""A process that may not reach any network, and a home folder that shows what was left in it."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

_SOCKET = {"x86_64": 41, "aarch64": 198}
"""The number of the system call ``socket`` on each kind of processor."""
_AF_INET = 2
"""Look-ups and connections begin with one; urllib3 tries one of IPv6 on itself, which reaches nobody."""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL, _ALLOW = 0x80000000, 0x7FFF0000


def _forbid_network() -> None:
    """Let the kernel end this process and its children where they open an internet socket, in C code too."""
    steps = (
        (_LOAD, 0, 0, 0), (_EQUAL, 0, 3, _SOCKET[platform.machine()]), (_LOAD, 0, 0, 16),
        (_EQUAL, 0, 1, _AF_INET), (_RETURN, 0, 0, _KILL), (_RETURN, 0, 0, _ALLOW),
    )  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel has no seccomp")


def run_offline(code: str, home: Path) -> list[str]:
    """Run Python code where a look-up or a connection ends it; skips where the system can't do that.

    Args:
        code: What ``python -c`` runs. It succeeds, or the test fails.
        home: The code's home folder, new.

    Returns:
        The files that it left there, sorted.
    """
    if sys.platform != "linux" or platform.machine() not in _SOCKET:
        pytest.skip("only Linux can forbid a process the network by itself")
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ORT_", "MLFLOW_", "RAY_", "HF_"))
        and name not in ("DO_NOT_TRACK", "DVC_NO_ANALYTICS", "NO_ALBUMENTATIONS_UPDATE")
    }
    result = subprocess.run(
        [sys.executable, "-c", code], env={**environment, "HOME": str(home)}, capture_output=True, text=True,
        preexec_fn=_forbid_network, check=False,
    )  # fmt: skip
    assert result.returncode == 0, (result.returncode, result.stderr[-2000:])
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
