"""A made-up set of predictions with patients, sites and splits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Evaluation

Case = tuple[np.ndarray, pd.DataFrame]


@pytest.fixture
def config() -> Evaluation:
    """Few resamples: the tests are about values, not about precision."""
    return Evaluation(bootstrap=200, confidence=0.95, calibration="temperature", seed=3)


@pytest.fixture
def make_case() -> Callable[..., Case]:
    """``make_case(scans, labels, seed)`` gives overconfident logits and an index, three scans a patient."""

    def make(scans: int, labels: list[str], seed: int = 0) -> Case:
        generator = np.random.default_rng(seed)
        targets = generator.permutation(np.arange(scans) % len(labels))
        logits = generator.normal(size=(scans, len(labels)))
        logits[np.arange(scans), targets] += 1.2
        patient = np.arange(scans) // 3
        index = pd.DataFrame(
            {
                "scan_id": [f"{row:016x}" for row in range(scans)],
                "patient": [f"p{number}" for number in patient],
                "split": np.where(patient % 3 == 0, "val", "test"),
                "site": generator.choice(["north", "south"], scans),
                "label": [labels[target] for target in targets],
            }
        )
        return (3.0 * logits).astype(np.float32), index

    return make
