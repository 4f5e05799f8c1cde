"""Where a network's first weights come from."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from torch import Tensor

from scanlens.config.schema import Transfer
from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.weights import load_matching, read_weights


def _imagenet_state(architecture: Architecture) -> dict[str, Tensor]:
    """ImageNet weights by name from timm's hub, adapted to the number of input channels by timm."""
    if architecture.library != "timm":
        raise SettingsError(
            "transfer.source=imagenet fits images only.", "Use transfer=file or transfer=full."
        )
    # Without these two the hub client retries for most of a minute before it gives up.
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "5")
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "5")
    import timm
    from huggingface_hub import constants

    hub = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((str(hub.hostname), hub.port or 443), timeout=5).close()
        network = timm.create_model(
            architecture.name,
            pretrained=True,
            num_classes=0,
            in_chans=architecture.channels,
            **architecture.args,
        )
    except RuntimeError as error:
        raise SettingsError(
            f"timm has no ImageNet weights of {architecture.name}.", "Use transfer=full."
        ) from error
    except OSError as error:
        raise SettingsError(
            f"ImageNet weights of {architecture.name} can't be fetched: the hub does not answer.",
            "Download them elsewhere and run with transfer=file transfer.file=PATH, "
            "or use transfer=full (this project's made scans).",
        ) from error
    return dict(network.state_dict())


def initialise(
    network: Classifier, architecture: Architecture, transfer: Transfer, pretrained: Path
) -> list[str]:
    """Load the first weights as section ``transfer`` says; the head always starts fresh unless they fit.

    Args:
        network: Receives the weights.
        architecture: Of the network.
        transfer: Section ``transfer``.
        pretrained: Weights file of stage pretraining.

    Returns:
        Names of the tensors that were loaded.

    Raises:
        SettingsError: Where the source is missing or nothing in it fits.
    """
    if transfer.source == "none":
        return []
    if transfer.source == "imagenet":
        state, origin = _imagenet_state(architecture), "ImageNet weights"
    elif transfer.source == "file":
        if not transfer.file:
            raise SettingsError("transfer.file must be given.", "Add transfer.file=PATH.")
        state, origin = read_weights(Path(transfer.file)), transfer.file
    else:
        state, origin = read_weights(pretrained), "stage pretraining"
    taken = load_matching(network, state)
    if not any(name.startswith("backbone.") for name in taken):
        raise SettingsError(
            f"No tensor of {origin} fits {architecture.name}.", "Check model.name and transfer.file."
        )
    return taken
