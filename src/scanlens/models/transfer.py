"""Where a network's first weights come from."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import torch
from torch import Tensor

from scanlens.config.schema import Transfer
from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.checkpoints import Match, load_checkpoint
from scanlens.models.classifier import Classifier
from scanlens.models.weights import file_sha256, read_weights

HUB_SECONDS = 4.0
"""How long the hub may take to answer that it is there."""
_LEAST_SHARE = 0.5
"""Of the backbone's tensors that a source must fit; below it is another network."""
NAMED = 3
"""Tensors that do not fit which are named."""


@dataclass(frozen=True)
class FirstWeights:
    """What was loaded, and from where.

    Attributes:
        source: Key ``transfer.source``.
        match: Names of the tensors.
        origin: Plain values about the source: file and hash, or tag, licence and normalisation.
    """

    source: str
    match: Match = field(default_factory=lambda: Match([], [], [], []))
    origin: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Tensors loaded."""
        return len(self.match.taken)

    def facts(self) -> dict[str, Any]:
        """Plain values for ``training.json`` and ``model.json``."""
        counts = {} if self.source == "none" else {
            "tensors_missing": len(self.match.missing),
            "tensors_unexpected": len(self.match.unexpected),
            "tensors_adapted": len(self.match.adapted),
        }  # fmt: skip
        origin = {"first_weights_from": self.origin} if self.origin else {}
        return {"first_weights": self.source, "tensors_loaded": len(self), **counts, **origin}


def hub_answers(address: str | None = None) -> bool:
    """Whether the model hub, or another address, does within ``HUB_SECONDS``: clients try much longer."""
    from huggingface_hub import constants, get_session

    answers: list[bool] = []

    def ask() -> None:
        try:
            status = get_session().head(
                address or constants.ENDPOINT, timeout=HUB_SECONDS, follow_redirects=True
            )
            # A proxy answers for a hub that it shuts off; a file's server may refuse the question alone.
            answers.append(address is not None or status.status_code < 400)
        except Exception:  # the client's own exceptions differ between its versions
            answers.append(False)

    # In a thread, since looking up the name of the hub knows no time limit.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_SECONDS + 1)
    return bool(answers and answers[0])


def _fetched(address: str) -> bool:
    """Whether torch's cache of downloads has the file of this address."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(address).path).name).is_file()


def _imagenet(architecture: Architecture, weights: str | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """ImageNet weights by name from timm's hub or its local cache, and what timm knows of them."""
    if architecture.library != "timm":
        raise SettingsError(
            "transfer.source=imagenet fits timm's networks of images only.",
            "Use transfer=file or transfer=full.",
        )
    import timm
    from huggingface_hub import constants

    name, known = architecture.name, timm.list_pretrained(f"{architecture.name}.*")
    if weights is not None and weights not in known:
        raise SettingsError(
            f"transfer.weights {weights} is none of timm's {name}.",
            f"Choices: {', '.join(known)}." if known else f"timm has no ImageNet weights of {name}.",
        )
    if not known:
        raise SettingsError(f"timm has no ImageNet weights of {name}.", "Use transfer=full.")
    listed = timm.get_pretrained_cfg(weights or name)
    # A few networks' weights (Xception's) lie on a server of their own.
    address = None if listed is None or listed.hf_hub_id else str(listed.url)
    answers = (address is not None and _fetched(address)) or hub_answers(address)
    offline = constants.HF_HUB_OFFLINE
    # What was fetched before is found without the hub.
    constants.HF_HUB_OFFLINE = offline or not answers
    try:
        if address and not answers:
            raise ConnectionError(address)
        # The network's own stem; what the stem here makes of its first convolution is load_checkpoint's part.
        network = timm.create_model(
            weights or name,
            pretrained=True,
            num_classes=0,
            global_pool="",
            in_chans=architecture.channels,
            **architecture.args,
        )
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise SettingsError(
            f"ImageNet weights of {weights or name} can't be loaded: {reason}",
            "Check model.args: the weights are of the network without them.",
        ) from error
    except OSError as error:
        raise SettingsError(
            f"ImageNet weights of {weights or name} can't be fetched: the hub does not answer.",
            "Download them elsewhere and run with transfer=file transfer.file=PATH, "
            "or use transfer=full (this project's made scans).",
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = offline
    origin = cast("dict[str, Any]", network.pretrained_cfg)
    facts = {
        "weights": f"{origin['architecture']}.{origin['tag']}" if origin.get("tag") else name,
        "licence": origin.get("license"),
        "hub": origin.get("hf_hub_id"),
        "trained_with": {
            "mean": list(origin["mean"]), "std": list(origin["std"]), "input_size": list(origin["input_size"])
        },
        # See docs/transfer.md: scans are standardised by their own statistics instead.
        "first_convolution_rescaled": False,
    }  # fmt: skip
    return dict(network.state_dict()), facts


def _bundle(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Backbone of another bundle; of an ensemble, that of the first member.

    The bundle's own reader belongs to inference, which is above this layer. Of all that it checks, only the
    weights matter here, and they must be those that were packaged.
    """
    try:
        description = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        packaged, bundle_id = description["files"]["model.safetensors"], description["bundle_id"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{folder}: no readable bundle ({type(error).__name__}).", "transfer.file is a bundle's folder."
        ) from error
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_sha256(weights) != packaged:
        raise SettingsError(
            f"{weights}: missing or altered since packaging (SHA-256 differs).",
            "Copy the whole folder again.",
        )
    state = {name.removeprefix("members.0."): tensor for name, tensor in read_weights(weights).items()}
    # Its head judges by its own labels, whose order may be another.
    backbone = {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}
    return backbone, {"bundle": str(folder), "bundle_id": bundle_id, "sha256": packaged}


def initialise(
    network: Classifier, architecture: Architecture, transfer: Transfer, pretrained: Path
) -> FirstWeights:
    """Load the first weights as section ``transfer`` says; the head always starts fresh unless they fit.

    Args:
        network: Receives the weights.
        architecture: Of the network.
        transfer: Section ``transfer``.
        pretrained: Weights file of stage pretraining.

    Returns:
        What was loaded.

    Raises:
        SettingsError: Where the source is missing, holds several networks or values that are no numbers, or
            less than half of the backbone's tensors fit.
    """
    if transfer.source == "none":
        return FirstWeights("none")
    if transfer.source == "imagenet":
        state, facts = _imagenet(architecture, transfer.weights)
        origin = f"ImageNet weights {facts['weights']}"
    elif transfer.source == "bundle":
        origin = str(transfer.file)
        state, facts = _bundle(Path(origin))
    elif transfer.source == "file":
        origin = str(transfer.file)
        state = read_weights(Path(origin), transfer.weights)
        facts = {"file": origin, "sha256": file_sha256(Path(origin))}
    else:
        state, facts, origin = read_weights(pretrained), {}, "stage pretraining"
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    match = load_checkpoint(network, state, architecture.name)
    # Counters of batches say nothing of whether two networks are the same.
    missing = [name for name in match.missing if not name.endswith("num_batches_tracked")]
    fitting = [name for name in match.taken if name.startswith("backbone.")]
    fitting = [name for name in fitting if not name.endswith("num_batches_tracked")]
    now = network.state_dict()
    # What is infinite in a fresh network as well is meant so, such as a mask.
    broken = [name for name in match.taken if not (now[name].isfinite() | ~before[name].isfinite()).all()]
    if broken:
        network.load_state_dict(before)
        raise SettingsError(
            f"{origin} holds values that are no numbers (NaN or infinite) in {len(broken)} of "
            f"{len(match.taken)} tensors: {_some(broken)}.",
            "The file is at fault, not the training: take another checkpoint, or download it again.",
        )
    if len(fitting) < _LEAST_SHARE * (len(fitting) + len(missing)):
        network.load_state_dict(before)
        total = len(fitting) + len(missing)
        raise SettingsError(
            f"{origin} does not fit {architecture.name}: {len(fitting)} of {total} tensors. "
            f"Without weights: {_some(missing)}. Not used: {_some(match.unexpected)}.",
            "Check model.name, model.args and transfer.file; of a file with several networks, "
            "transfer.weights names the beginning of one's names.",
        )
    if missing:
        hint = ""
        if all(".downsample." in name for name in missing):
            hint = " Shortcuts without weights (MedicalNet 18 and 34) need: -S +model.args.shortcut_type=A"
        print(
            f"warning: {len(missing)} tensors of {architecture.name} start fresh, {origin} lacks them: "
            f"{_some(missing)}.{hint}",
            flush=True,
        )
    return FirstWeights(transfer.source, match, facts)


def _some(names: list[str]) -> str:
    """A few names, and how many more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) + more) or "none"
