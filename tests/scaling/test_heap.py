"""Arrays that are made and freed again and again cost no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The numbers of another process: this one's C library is no longer as it started.
SCRIPT = """
import resource, sys
import numpy as np
from scanlens.scaling.heap import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(12):
    if round == 2:
        before = faults()
    arrays = [np.ones(3 << 17) for _ in range(4)]  # 3 MiB each
    del arrays
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the setting")
def test_freed_memory_is_used_again() -> None:
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", SCRIPT, mode], timeout=60))
        for mode in ("kept", "given back")
    )
    # Ten rounds of four times 768 pages.
    assert given_back > 5_000
    assert kept < given_back / 20
