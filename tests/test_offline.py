"""Nothing leaves the machine: no look-up, no connection, nothing left in the home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.offline import run_offline
from tests.helpers.tiny import write_scan


def test_a_look_up_would_be_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="-31"):
        run_offline("import socket; socket.getaddrinfo('example.com', 443)", tmp_path / "home")


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_predict_reaches_nobody_and_leaves_nothing_at_home(
    tiny_bundle: Path, tmp_path: Path, runtime: str
) -> None:
    for number in range(6):  # enough for processes that read
        write_scan(tmp_path / "scans" / f"{number}.png", number)
    arguments = ["scanlens", "predict", "--bundle", str(tiny_bundle), "--input", str(tmp_path / "scans")]
    arguments += ["--output", str(tmp_path / "out"), "--runtime", runtime]
    code = f"import sys\nfrom scanlens.cli import main\nsys.argv = {arguments!r}\nassert main() == 0"
    assert run_offline(code, tmp_path / "home") == []


def test_training_packaging_and_tracking_reach_nobody(tmp_path: Path) -> None:
    # Libraries that report do so when they are imported, or after their first calls.
    code = f"""
from pathlib import Path
from tests.helpers.tiny import tracking, write_bundle
from scanlens.tracking.runs import open_run
import scanlens.augmentation.images, scanlens.pretraining.self_supervised, scanlens.search.sweep
import scanlens.models.timm_backbones, dvc.repo, onnxruntime
folder = Path({str(tmp_path)!r})
write_bundle(folder / "made")
with open_run(tracking(folder), {{"seed": 0}}, {{}}) as run:
    run.log_metrics({{"test.accuracy": 0.5}})
"""
    left = run_offline(code, tmp_path / "home")
    # Matplotlib's list of this machine's fonts is no report.
    assert [name for name in left if "matplotlib" not in name] == []
