"""Arrays that are made and freed again and again cost no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The numbers of another process: this one's C library is no longer as it started.
SCRIPT = """
import resource, sys
import numpy as np
from scanlens.scaling import heap
if sys.argv[1] != "given back":
    getattr(heap, sys.argv[1])()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(12):
    if round == 2:
        before = faults()
    arrays = [np.ones(int(sys.argv[2]) << 17) for _ in range(4)]  # so many MiB each
    del arrays
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the setting")
@pytest.mark.parametrize(("function", "mebibytes"), [("keep_freed_memory", 3), ("keep_feature_maps", 40)])
def test_freed_memory_is_used_again(function: str, mebibytes: int) -> None:
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", SCRIPT, mode, str(mebibytes)], timeout=60))
        for mode in (function, "given back")
    )
    # Ten rounds of four times 256 pages a MiB; of large arrays the system hands out larger pages.
    assert given_back > 5_000
    assert kept < given_back / 20
