"""The model card: what a person must know before a bundle sees a patient's scan (Mitchell et al. 2019)."""

from __future__ import annotations

from typing import Any

from scanlens.estimate import Estimate
from scanlens.tasks import task_of


def _of_several(description: dict[str, Any]) -> str:
    members = description.get("members", 1)
    return f"The mean of {members} networks: " if members > 1 else ""


def model_card(description: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """Markdown text of ``MODEL_CARD.md``.

    Args:
        description: Of ``bundle.json``.
        evaluation: Of ``evaluation.json``.
    """
    network, preprocessor = description["architecture"], description["preprocessor"]
    labels = description["labels"]
    task = task_of(description["task"])
    columns = task.counted(labels, description["splits"])
    scan = "volume" if description["dims"] == 3 else "image"
    lines = [
        f"# Model card: {description['name']} {description['bundle_id']}",
        "",
        "**Not a medical device.** For research; a person decides about every patient.",
        "",
        "## What it does",
        task.does(labels, description["calibration"], scan),
        "",
        "## Network",
        f"{_of_several(description)}{network['name']} ({network['library']}), head {network['head']}, "
        f"input {network['channels']} x "
        f"{' x '.join(str(side) for side in network['size'])}, intensities by rule "
        f"`{preprocessor['intensity']}`, temperature {description['calibration']['temperature']:.3f}.",
        "",
        "## Data",
        "| split | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for split, counts in description["splits"].items():
        lines.append(f"| {split} | " + " | ".join(str(counts.get(name, 0)) for name in columns) + " |")
    lines += [
        "",
        "## Test split",
        "Values with patient-resampled confidence intervals.",
        "",
        "| metric | value |",
        "|---|---|",
    ]
    lines += [
        f"| {name} | {Estimate.from_json(evaluation['test'][name]).text('.3f', 'not defined')} |"
        for name, metric in task.metrics.items()
        if metric.on_card and name in evaluation["test"]
    ]
    cautions = evaluation.get("warnings", [])
    lines += ["", "## Cautions", *[f"- {caution}" for caution in cautions]]
    lines += [
        "- Scans from other devices, sites or populations than the training data may be judged wrongly.",
        "- A map shows what the network responds to, not where a disease is.",
        "",
        "## Lineage",
        *[f"- {key}: `{value}`" for key, value in description["lineage"].items()],
        *[f"- {name} {version}" for name, version in description["versions"].items()],
        "",
    ]
    return "\n".join(lines)
