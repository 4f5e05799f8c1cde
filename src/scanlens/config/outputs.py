"""What DVC owns in a project: a data root there would be emptied, or depend on itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from scanlens.errors import SettingsError

_PIPELINE = "dvc.yaml"


def refuse_output(project: Path, root: str) -> None:
    """Refuse a data root that is an output of ``dvc.yaml``, lies in one or holds one.

    DVC empties outputs before their stage starts, and cannot order stages that read what holds their outputs.

    Args:
        project: Folder that holds ``dvc.yaml``; without one nothing is refused.
        root: Setting ``data.root``.

    Raises:
        SettingsError: Naming the output and its stage.
    """
    wanted = (project / Path(root).expanduser()).resolve()
    for output, stage in _outputs(project):
        place = (project / output).resolve()
        if wanted == place or place in wanted.parents:
            how = "is" if wanted == place else "lies in"
        elif wanted in place.parents:
            how = "holds"
        else:
            continue
        raise SettingsError(
            f"data.root {root} {how} {output}, an output of stage {stage}, which DVC removes before it runs.",
            "Keep the scans in a folder of their own, such as data/01_raw/scans or one outside the project, "
            "and set data.root to it.",
        )


def _outputs(project: Path) -> Iterator[tuple[str, str]]:
    """Each output with its stage's name; of a stage per network the folder that holds all."""
    pipeline = project / _PIPELINE
    if not pipeline.is_file():
        return
    for stage, parts in yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"].items():
        for entry in [*parts.get("outs", []), *parts.get("metrics", [])]:
            # With options of its own an output is a mapping of one key.
            path = entry if isinstance(entry, str) else next(iter(entry))
            yield path.partition("${")[0], stage
