"""DVC does not see Python imports: what a pipeline file imports must stand among its stage's deps."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest
import yaml
from dvc_data.hashfile.meta import Meta

PROJECT = Path(__file__).resolve().parent.parent
STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

# Logging a run changes none of its results. The other modules are single files without behaviour of a
# stage's own; a release that changes them changes a listed package too.
EXEMPT = {
    "scanlens.tracking", "scanlens.errors", "scanlens.types", "scanlens.atomic", "scanlens.ranks",
    "scanlens.estimate", "scanlens"
}  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pipelines", "scanlens", cache_dir=None)


def imported_packages(graph: grimp.ImportGraph, module: str) -> set[str]:
    """Top-level parts of scanlens that ``module`` imports, directly or not, but not by way of tracking."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        for name in graph.find_modules_directly_imported_by(current):
            if name not in seen and not name.startswith("scanlens.tracking"):
                seen.add(name)
                waiting.append(name)
    return {".".join(name.split(".")[:2]) for name in seen if name.startswith("scanlens")} - EXEMPT


def source_of(name: str) -> str:
    """Where a package or module lies, relative to the project."""
    path = f"src/{name.replace('.', '/')}"
    return path if (PROJECT / path).is_dir() else f"{path}.py"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_import_is_a_dependency(graph: grimp.ImportGraph, stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")}
    needed = {source_of(name) for name in imported_packages(graph, f"pipelines.{stage}")}
    assert needed <= declared, f"add to deps of {stage}: {sorted(needed - declared)}"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_no_dependency_is_superfluous(graph: grimp.ImportGraph, stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")}
    needed = {source_of(name) for name in imported_packages(graph, f"pipelines.{stage}")}
    assert declared <= needed, f"remove from deps of {stage}: {sorted(declared - needed)}"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_depends_on_its_own_file(stage: str) -> None:
    assert {f"pipelines/{stage}.py", "pipelines/stage.py"} <= set(STAGES[stage]["deps"])
    argument = " ${item.member}" if "matrix" in STAGES[stage] else ""
    assert STAGES[stage]["cmd"] == f"python -m pipelines.{stage}{argument}"


def test_no_stage_declares_the_machine() -> None:
    declared = {name.split(".")[0] for stage in STAGES.values() for name in stage.get("params", [])}
    assert declared.isdisjoint({"runtime", "tracking"})


def test_every_pipeline_file_is_a_stage() -> None:
    files = {path.stem for path in (PROJECT / "pipelines").glob("*.py")} - {"__init__", "stage"}
    assert files == set(STAGES)


def overlooked(values: object, prefix: str) -> set[str]:
    """Dotted keys that DVC leaves out when it looks a run up in its run cache (dvc.stage.cache)."""
    if not isinstance(values, dict):
        return set()
    nested = [overlooked(value, f"{prefix}.{key}") for key, value in values.items()]
    return {f"{prefix}.{key}" for key in values if key in (Meta.PARAM_SIZE, Meta.PARAM_NFILES)}.union(*nested)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_the_run_cache_sees_every_setting(stage: str) -> None:
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    declared = set(STAGES[stage].get("params", []))
    sections = {name for name in declared if name in settings}
    assert set().union(*(overlooked(settings[name], name) for name in sections)) <= declared
