"""What each subcommand does. Every import that takes time stands inside the command that needs it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from scanlens.errors import ScanlensError

DONE, REFUSED, WRONG_USAGE, SOME_FAILED = 0, 1, 2, 3
OF_A_PROJECT = ("params", "model", "sweep", "compare")
"""Commands that read ``conf/`` or ``params.yaml``; in a folder of a project they mean that project."""


def enter_project(arguments: argparse.Namespace) -> None:
    """Go to the project around the working folder: its settings name files relative to it.

    Args:
        arguments: Of the command line; a page to be written stays where it was asked for.

    Raises:
        SettingsError: There is no project.
    """
    from scanlens.config.project import find_project

    if (page := getattr(arguments, "html", None)) is not None:
        arguments.html = page.absolute()
    os.chdir(find_project(Path.cwd()))


def _refuse_other(path: Path | None, mark: bytes) -> None:
    """Refuse to replace a file that lacks what ours of its kind hold in their first kibibyte.

    A label table, say, named by mistake.
    """
    if path is not None and path.is_file():
        with path.open("rb") as file:
            if mark not in file.read(1024):
                raise ScanlensError(f"{path}: exists, and no scanlens wrote it.", "Name another file.")


def params(arguments: argparse.Namespace) -> int:
    """Write params.yaml, or say whether it is up to date."""
    from scanlens.config.compose import PARAMS, compose_text, with_kept_data, write_params
    from scanlens.config.load import load_section
    from scanlens.config.schema import Data

    project = Path()
    if arguments.reference:
        from scanlens.atomic import write_text
        from scanlens.config.reference import REFERENCE_PAGE, reference

        write_text(project / REFERENCE_PAGE, reference(project))
        print(f"{REFERENCE_PAGE} written")
        return DONE
    overrides = with_kept_data(project, arguments.overrides)
    if overrides != arguments.overrides:
        kept = " ".join(overrides[: len(overrides) - len(arguments.overrides)])
        print(f"data as chosen before: {kept} (the phantoms: data=phantom)", file=sys.stderr)
    if arguments.check:
        current = project / PARAMS
        if current.is_file() and current.read_text(encoding="utf-8") == compose_text(project, overrides):
            return DONE
        raise ScanlensError("params.yaml differs from conf/.", "Run: scanlens params")
    changed = write_params(project, overrides)
    root = Path(load_section(Data, project).root).expanduser()
    if not root.exists():
        raise ScanlensError(f"data.root {root} does not exist.", "Set data.root to the folder of the scans.")
    print(f"{PARAMS} {'written' if changed else 'is up to date'}")
    return DONE


def run_check(arguments: argparse.Namespace) -> int:
    """Say which files of a folder are scans, and with labels what the pipeline will make of them."""
    from dataclasses import asdict

    if arguments.labels is not None:
        return _preview(arguments)
    if arguments.html is not None or arguments.overrides:
        raise ScanlensError(
            "--html and settings go with --labels.", "Add --labels FILE.csv or --labels folders."
        )

    from scanlens.config.parse import parse
    from scanlens.config.schema import Checks
    from scanlens.manifest.survey import CHECKS, as_table, survey, write_survey
    from scanlens.scaling.cores import available_cores
    from scanlens.scaling.engine import Engine

    _refuse_other(arguments.report, b"path,file_class,status,")
    limits = {"timeout_s": arguments.limit_seconds, "max_memory_mib": arguments.max_memory}
    given = {name: value for name, value in limits.items() if value is not None}
    found = survey(
        arguments.path,
        dims=None if arguments.dims == "auto" else int(arguments.dims),
        checks=parse(Checks, {**asdict(CHECKS), **given}, "check"),
        engine=Engine("local", arguments.workers or available_cores(), None),
        progress=sys.stderr.isatty(),
    )
    if arguments.report is not None:
        write_survey(found, arguments.report)
    print(json.dumps([asdict(scan) for scan in found.scans], indent=2) if arguments.json else as_table(found))
    return DONE


def _preview(arguments: argparse.Namespace) -> int:
    """What the pipeline will make of a labelled data set."""
    from scanlens.preview.run import preview, preview_text, settings_for, write_preview
    from scanlens.scaling.cores import available_cores
    from scanlens.scaling.engine import Engine

    _refuse_other(arguments.html, b"<title>scanlens: data quality</title>")
    _refuse_other(arguments.report, b"scan_id,patient,label,")
    chosen = {
        "data.dims": None if arguments.dims == "auto" else arguments.dims,
        "manifest.checks.timeout_s": arguments.limit_seconds,
        "manifest.checks.max_memory_mib": arguments.max_memory,
    }
    options = [f"{key}={value}" for key, value in chosen.items() if value is not None]
    settings = settings_for(Path(), arguments.path, arguments.labels, [*options, *arguments.overrides])
    engine = Engine("local", arguments.workers or available_cores(), None)
    found = preview(settings.data, settings.acquire, settings.manifest, engine)
    if arguments.html is not None:
        write_preview(found, arguments.html)
    if arguments.report is not None:
        from scanlens.atomic import replacing

        with replacing(arguments.report) as temporary:
            found.built.manifest.to_csv(temporary, index=False)
    print(
        json.dumps({**found.facts, "refusal": found.refusal}, indent=2)
        if arguments.json
        else preview_text(found)
    )
    return REFUSED if found.refusal else DONE


def model(arguments: argparse.Namespace) -> int:
    """Show a network."""
    import yaml

    from scanlens.config.compose import compose_text
    from scanlens.config.parse import parse
    from scanlens.config.schema import Model
    from scanlens.models.registry import resolve_model
    from scanlens.models.summary import summarise_network, summary_text

    size = tuple(arguments.size * 2 if len(arguments.size) == 1 else arguments.size)
    if len(size) > 3:
        raise ScanlensError(f"--size has {len(size)} numbers.", "Give one, two, or three for a volume.")
    is_group = Path("conf", "model", f"{arguments.name}.yaml").is_file()
    chosen = [f"model={arguments.name}"] if is_group else ["model=base", f"model.name={arguments.name}"]
    changes = [f"++model.{change.removeprefix('model.')}" for change in arguments.overrides]
    section = yaml.safe_load(compose_text(Path(), [*chosen, *changes]))["model"]
    made = resolve_model(parse(Model, section, "model"), (arguments.channels, *size), arguments.classes)
    summary = summarise_network(made, arguments.depth)
    print(json.dumps(summary.to_json(), indent=2) if arguments.json else summary_text(summary))
    return DONE


def run_predict(arguments: argparse.Namespace) -> int:
    """Predict scans with a bundle."""
    from scanlens.inference.batch import predict_batch
    from scanlens.inference.bundle import open_bundle
    from scanlens.inference.runtime import choose_runtime
    from scanlens.scaling.cores import available_cores

    bundle = open_bundle(arguments.bundle)
    threads = arguments.threads or available_cores()
    name, run = choose_runtime(bundle, arguments.runtime, threads)
    good, bad = predict_batch(
        bundle,
        run,
        arguments.input,
        arguments.output,
        batch_size=arguments.batch_size,
        maps=not arguments.no_maps,
    )
    if arguments.json:
        print(json.dumps({"predicted": good, "failed": bad, "bundle": bundle.bundle_id, "runtime": name}))
    else:
        print(
            f"predict: {good} scans predicted, {bad} failed in {arguments.output} "
            f"(bundle {bundle.bundle_id}, {name})"
        )
    return SOME_FAILED if bad else DONE


def run_explain(arguments: argparse.Namespace) -> int:
    """Show what a bundle's network sees in scans."""
    from importlib.util import find_spec

    from scanlens.inference.bundle import open_bundle
    from scanlens.methods.views import OPTIONS, choose_options

    methods = tuple(dict.fromkeys(arguments.method or ["probability"]))
    options = choose_options(methods, {name: getattr(arguments, name) for name in OPTIONS})
    if missing := [name for name in ("torch", "captum") if find_spec(name) is None]:
        raise ScanlensError(f"scanlens explain needs {' and '.join(missing)}.", "Run: pip install scanlens")
    bundle = open_bundle(arguments.bundle)

    from scanlens.inference.explain import explain, facts_text, report_failures, use_device
    from scanlens.inference.viewer import Request

    request = Request(
        methods,
        tuple(arguments.classes or ["predicted"]),
        options,
        side=arguments.side,
        batch_size=arguments.batch_size,
        device=use_device(arguments.device, arguments.threads, bundle.dims),
        progress=sys.stderr.isatty(),
    )
    facts = explain(bundle, arguments.input, arguments.output, request)
    report_failures(facts)
    print(json.dumps(facts, indent=2) if arguments.json else facts_text(facts, arguments.output))
    return SOME_FAILED if facts["failures"] else DONE


def run_sweep(arguments: argparse.Namespace) -> int:
    """Search settings."""
    import signal
    from dataclasses import asdict

    from scanlens.search.plan import read_plan
    from scanlens.search.sweep import as_lines, sweep

    names = ("name", "sampler", "trials", "metric", "pruner", "until", "jobs", "seed")
    plan = read_plan(Path(), arguments.space, {name: getattr(arguments, name) for name in names})
    # A stop by SIGTERM is as clean as one by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcome = sweep(Path(), plan)
    print(json.dumps(asdict(outcome), indent=2) if arguments.json else as_lines(outcome))
    return DONE


def run_compare(arguments: argparse.Namespace) -> int:
    """Compare tracked runs."""
    from scanlens.compare.comparison import as_json, compare, comparison_text
    from scanlens.compare.page import write_page
    from scanlens.config.load import load_section
    from scanlens.config.schema import Tracking

    _refuse_other(arguments.html, b"<title>scanlens")
    found = compare(load_section(Tracking), arguments.runs, arguments.study, arguments.limit, arguments.by)
    if arguments.html is not None:
        write_page(found, arguments.html)
    print(as_json(found) if arguments.json else comparison_text(found, arguments.metrics))
    return DONE


def run_pool(arguments: argparse.Namespace) -> int:
    """Score a cross-validation."""
    from scanlens.evaluation.pooled import pool, pooled_text

    found = pool(arguments.predictions, resamples=arguments.resamples)
    print(json.dumps(found, indent=2) if arguments.json else pooled_text(found))
    return DONE


def bundle(arguments: argparse.Namespace) -> int:
    """Verify a bundle and print its card."""
    from scanlens.inference.bundle import CARD, open_bundle

    bundle = open_bundle(arguments.bundle)
    if arguments.json:
        print(json.dumps(bundle.description, indent=2))
    else:
        print((bundle.folder / CARD).read_text(encoding="utf-8"), end="")
    return DONE
