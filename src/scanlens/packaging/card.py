"""The model card: what a person must know before a bundle sees a patient's scan (Mitchell et al. 2019)."""

from __future__ import annotations

from typing import Any

from scanlens.estimate import Estimate

_METRICS = (
    "auc_macro", "accuracy", "f1_macro", "sensitivity_macro", "specificity_macro", "brier", "ece",
    "mae_classes", "within_one", "kappa_quadratic", "mae", "rmse", "r2", "pearson", "spearman",
)  # fmt: skip


def _of_several(description: dict[str, Any]) -> str:
    members = description.get("members", 1)
    return f"The mean of {members} networks: " if members > 1 else ""


def _what_it_does(description: dict[str, Any]) -> str:
    labels, scan = description["labels"], "volume" if description["dims"] == 3 else "image"
    if description["task"] != "regression":
        threshold = description["calibration"].get("set_threshold")
        sets = ""
        if threshold is not None:
            share = 100 * description["calibration"]["confidence"]
            sets = f", the set of classes that is to hold the true one of {share:g} % of new scans"
        return (
            f"Gives each of {len(labels)} classes ({', '.join(labels)}) a calibrated probability for one "
            f"{scan}{sets}, and maps of where the evidence lies."
        )
    width = description["calibration"].get("half_width")
    interval = "without an interval"
    if width is not None:
        share = 100 * description["calibration"]["confidence"]
        interval = f"with an interval of ± {width:.4g} that is to hold {share:g} % of new scans' numbers"
    return (
        f"Predicts a number, {labels[0]}, in the unit of the labels it learnt from (no unit is recorded) for "
        f"one {scan}, {interval}, and maps of the number that each place argues for."
    )


def model_card(description: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """Markdown text of ``MODEL_CARD.md``.

    Args:
        description: Of ``bundle.json``.
        evaluation: Of ``evaluation.json``.
    """
    network, preprocessor = description["architecture"], description["preprocessor"]
    labels = description["labels"]
    columns = labels
    if description["task"] == "regression":
        columns = sorted({name for counts in description["splits"].values() for name in counts})
    lines = [
        f"# Model card: {description['name']} {description['bundle_id']}",
        "",
        "**Not a medical device.** For research; a person decides about every patient.",
        "",
        "## What it does",
        _what_it_does(description),
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
        for name in _METRICS
        if name in evaluation["test"]
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
