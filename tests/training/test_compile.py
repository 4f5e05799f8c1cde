"""A compiled backbone learns the same, under the same names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from scanlens.preprocess.store import Store
from tests.helpers.fits import run, write_tiny_store


@pytest.mark.slow
def test_a_compiled_backbone_learns_the_same(tmp_path: Path) -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch.compile needs a C++ compiler on a processor; there is none")
    write_tiny_store(tmp_path)
    store = Store.open(tmp_path / "store")
    for name, compiled in (("eager", False), ("compiled", True)):
        (tmp_path / name).mkdir()
        settings = {"name": name, "machine": {"compile": compiled}, "model": {"dropout": 0.0}}
        run(tmp_path, store, {**settings, "recipe": {"epochs": 1}})
    eager, compiled_ = (load_file(tmp_path / name / "model.safetensors") for name in ("eager", "compiled"))
    assert eager.keys() == compiled_.keys()
    for name, tensor in eager.items():
        np.testing.assert_allclose(tensor, compiled_[name], atol=1e-3, err_msg=name)
