"""The fit of stage pretraining, with labels of made scans or with none."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Augmentation, Pretraining
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import pretraining_recipe
from scanlens.training.run import checkpoint_folder


def learn(
    network: Classifier,
    architecture: Architecture,
    store: Store,
    made: Store,
    pretraining: Pretraining,
    augmentation: Augmentation,
    machine: Machine,
) -> pd.DataFrame:
    """Train in place; see :func:`scanlens.pretraining.run.pretrain`.

    Args:
        network: Learns.
        architecture: Of the network.
        store: The real scans.
        made: The made scans.
        pretraining: Method and loop.
        augmentation: Its policy changes the scans of ``supervised``.
        machine: Device and precision.

    Returns:
        One row of metrics an epoch.
    """
    supervised = pretraining.method == "supervised"
    parts = [Part(made, np.arange(len(made)))]
    if not supervised:
        parts.insert(0, Part(store, store.rows("train")))
    changes = augmentation.policy if supervised else pretraining.policy
    policy = build_policy(changes, len(store.shape) - 1, store.shape[0])
    train = ScanBatches(parts, store.statistics, policy)
    val = ScanBatches([Part(store, store.rows("val"))], store.statistics, None if supervised else policy)
    recipe = pretraining_recipe(pretraining)
    checkpoints = checkpoint_folder(
        "pretraining", asdict(pretraining), asdict(changes), architecture.to_json(), machine.precision,
        made.digest, store.digest,
    )  # fmt: skip
    if supervised:
        return fit(network, train, val, recipe, machine, checkpoints)[0]
    # lightly takes seconds to import, and only this method needs it.
    from scanlens.pretraining.self_supervised import ViewLearner, ViewPairs, build_projector

    projector = build_projector(network, store.shape, pretraining.projection, pretraining.seed)
    pairs = ViewPairs(train), ViewPairs(val, fixed=True)
    step = partial(ViewLearner, projector=projector)
    return fit(network, *pairs, recipe, machine, checkpoints, step=step)[0]
