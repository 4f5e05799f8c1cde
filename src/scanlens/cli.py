"""The ``scanlens`` command. Every import that takes time stands inside the command that needs it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from scanlens import __version__
from scanlens.errors import ScanlensError

DONE, REFUSED, WRONG_USAGE, SOME_FAILED = 0, 1, 2, 3


def _positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _params(arguments: argparse.Namespace) -> int:
    from scanlens.config.compose import PARAMS, compose_text, write_params
    from scanlens.config.load import load_section
    from scanlens.config.schema import Data

    project = Path()
    if arguments.check:
        current = project / PARAMS
        if current.is_file() and current.read_text(encoding="utf-8") == compose_text(
            project, arguments.overrides
        ):
            return DONE
        raise ScanlensError("params.yaml differs from conf/.", "Run: scanlens params")
    changed = write_params(project, arguments.overrides)
    root = Path(load_section(Data, project).root).expanduser()
    if not root.exists():
        raise ScanlensError(f"data.root {root} does not exist.", "Set data.root to the folder of the scans.")
    print(f"{PARAMS} {'written' if changed else 'is up to date'}")
    return DONE


def _check(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict, replace

    from scanlens.manifest.survey import CHECKS, as_table, survey, write_survey
    from scanlens.scaling.cores import available_cores
    from scanlens.scaling.engine import Engine

    found = survey(
        arguments.path,
        dims=None if arguments.dims == "auto" else int(arguments.dims),
        checks=replace(CHECKS, timeout_s=arguments.limit_seconds, max_memory_mib=arguments.max_memory),
        engine=Engine("local", arguments.workers or available_cores(), None),
        progress=sys.stderr.isatty(),
    )
    if arguments.report is not None:
        write_survey(found, arguments.report)
    print(json.dumps([asdict(scan) for scan in found.scans], indent=2) if arguments.json else as_table(found))
    return DONE


def _model(arguments: argparse.Namespace) -> int:
    import yaml

    from scanlens.config.compose import compose_text
    from scanlens.config.load import parse
    from scanlens.config.schema import Model
    from scanlens.models.registry import resolve
    from scanlens.models.summary import as_text, summarise

    size = tuple(arguments.size * 2 if len(arguments.size) == 1 else arguments.size)
    if len(size) > 3:
        raise ScanlensError(f"--size has {len(size)} numbers.", "Give one, two, or three for a volume.")
    is_group = Path("conf", "model", f"{arguments.name}.yaml").is_file()
    # A bare timm name takes the other settings of a group whose comments speak of every timm network.
    chosen = [f"model={arguments.name}"] if is_group else ["model=resnet18", f"model.name={arguments.name}"]
    changes = [f"++model.{change.removeprefix('model.')}" for change in arguments.overrides]
    section = yaml.safe_load(compose_text(Path(), [*chosen, *changes]))["model"]
    made = resolve(parse(Model, section, "model"), (arguments.channels, *size), arguments.classes)
    summary = summarise(made, arguments.depth)
    print(json.dumps(summary.to_json(), indent=2) if arguments.json else as_text(summary))
    return DONE


def _predict(arguments: argparse.Namespace) -> int:
    from scanlens.inference.batch import predict_batch
    from scanlens.inference.bundle import open_bundle
    from scanlens.inference.runtime import choose
    from scanlens.scaling.cores import available_cores

    bundle = open_bundle(arguments.bundle)
    threads = arguments.threads or available_cores()
    name, run = choose(bundle, arguments.runtime, threads)
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


def _explain(arguments: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from scanlens.explanation.views import OPTIONS, choose_options
    from scanlens.inference.bundle import open_bundle

    methods = tuple(dict.fromkeys(arguments.method or ["probability"]))
    options = choose_options(methods, {name: getattr(arguments, name) for name in OPTIONS})
    if missing := [name for name in ("torch", "captum") if find_spec(name) is None]:
        raise ScanlensError(f"scanlens explain needs {' and '.join(missing)}.", "Run: pip install scanlens")
    bundle = open_bundle(arguments.bundle)

    from scanlens.inference.explain import as_text, explain, report_failures, use_device
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
    print(json.dumps(facts, indent=2) if arguments.json else as_text(facts, arguments.output))
    return SOME_FAILED if facts["failures"] else DONE


def _sweep(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from scanlens.search.plan import read_plan
    from scanlens.search.sweep import as_lines, sweep

    names = ("name", "sampler", "trials", "metric", "direction", "pruner", "until", "jobs", "seed")
    plan = read_plan(Path(), arguments.space, {name: getattr(arguments, name) for name in names})
    outcome = sweep(Path(), plan)
    print(json.dumps(asdict(outcome), indent=2) if arguments.json else as_lines(outcome))
    return DONE


def _compare(arguments: argparse.Namespace) -> int:
    from scanlens.config.load import load_section
    from scanlens.config.schema import Tracking
    from scanlens.search.comparison import as_json, as_text, compare, write_page

    if arguments.log and arguments.html is None:
        raise ScanlensError("--log needs a page to log.", "Add --html FILE.")
    tracking = load_section(Tracking)
    found = compare(tracking, arguments.runs, arguments.study, arguments.limit, arguments.by)
    if arguments.html is not None:
        write_page(found, arguments.html, tracking if arguments.log else None)
    print(as_json(found) if arguments.json else as_text(found, arguments.metrics))
    return DONE


def _pool(arguments: argparse.Namespace) -> int:
    from scanlens.evaluation.pooled import as_text, pool

    found = pool(arguments.predictions, resamples=arguments.resamples)
    print(json.dumps(found, indent=2) if arguments.json else as_text(found))
    return DONE


def _bundle(arguments: argparse.Namespace) -> int:
    from scanlens.inference.bundle import CARD, open_bundle

    bundle = open_bundle(arguments.bundle)
    if arguments.json:
        print(json.dumps(bundle.description, indent=2))
    else:
        print((bundle.folder / CARD).read_text(encoding="utf-8"), end="")
    return DONE


def _explain_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from scanlens.explanation.views import METHODS

    explain = commands.add_parser(
        "explain",
        help="show what a network sees in scans",
        description="Shows scans through a bundle's network: maps, attributions, activations, filters.",
        epilog="methods:\n" + "\n".join(f"  {name:<22}{method.what}" for name, method in METHODS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = explain.add_argument
    add("--bundle", type=Path, required=True, help="folder written by stage packaging")
    add("--input", type=Path, required=True, help="a scan, or a folder searched for scans")
    add(
        "--out",
        "--output",
        dest="output",
        type=Path,
        required=True,
        help="folder for pictures, raw values (.npy) and explanation.json",
    )
    add(
        "--method",
        action="append",
        choices=list(METHODS),
        metavar="NAME",
        help="see below; may be given several times (default: probability)",
    )
    add(
        "--class",
        dest="classes",
        action="append",
        metavar="NAME",
        help="label or number, may be given several times; or all, or predicted (default)",
    )
    add("--layer", metavar="NAME", help="of cams, activations and filters (default: the backbone's output)")
    add("--patch", type=_positive, nargs="+", metavar="N", help="occlusion: pixels (default: 1/8 of a side)")
    add("--stride", type=_positive, nargs="+", metavar="N", help="occlusion: pixels (default: half a patch)")
    add(
        "--baseline",
        choices=["mean", "blur"],
        help="occlusion, integrated gradients: what an empty scan is (default: the training scans' mean)",
    )
    add("--steps", type=_positive, metavar="N", help="integrated gradients, filters (default 64)")
    add("--samples", type=_positive, metavar="N", help="smoothgrad: noisy copies (default 32)")
    add("--noise", type=float, metavar="X", help="smoothgrad: share of the scan's span (default 0.15)")
    add("--channels", type=_positive, metavar="N", help="filters: how many, from the first (default 32)")
    add("--seed", type=int, metavar="N", help="smoothgrad, filters, receptive field (default 0)")
    add("--threshold", type=float, metavar="P", help="probability: of suspicious regions (default 0.5)")
    add("--scale", type=float, metavar="X", help="value of full colour (default: each scan's own largest)")
    add("--side", type=_positive, default=320, metavar="N", help="longest side of a picture (default 320)")
    add("--batch-size", type=_positive, default=16, metavar="N", help="scans a forward pass (default 16)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: a GPU where there is one")
    add("--threads", type=_positive, metavar="N", help="arithmetic threads (default: all cores)")
    add("--json", action="store_true", help="print explanation.json instead of a summary")
    explain.set_defaults(run=_explain)


def parser() -> argparse.ArgumentParser:
    """The command line: one subcommand a task, each with ``--help``."""
    top = argparse.ArgumentParser(
        prog="scanlens",
        description="From raw scans to calibrated classifiers and probability maps.",
        epilog="The pipeline runs with: dvc repro, or dvc exp run -S group=choice -S section.key=value",
    )
    top.add_argument("--version", action="version", version=f"scanlens {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    params = commands.add_parser("params", help="write params.yaml from conf/")
    params.add_argument("overrides", nargs="*", help="Hydra overrides, e.g. model=resnet50 training.lr=3e-4")
    params.add_argument("--check", action="store_true", help="only say whether params.yaml is up to date")
    params.set_defaults(run=_params)

    check = commands.add_parser("check", help="read every file of a folder and say which are scans")
    check.add_argument("path", type=Path, metavar="PATH", help="a folder searched for scans, or one scan")
    check.add_argument(
        "--dims",
        choices=["2", "3", "auto"],
        default="auto",
        help="images, volumes, or each as it is (default)",
    )
    check.add_argument(
        "--limit-seconds", type=_positive, default=60, metavar="N", help="time for one file (default 60)"
    )
    check.add_argument(
        "--max-memory", type=_positive, default=768, metavar="MIB", help="memory for one file (default 768)"
    )
    check.add_argument(
        "--workers", type=_positive, metavar="N", help="reading processes (default: all cores)"
    )
    check.add_argument("--report", type=Path, metavar="FILE.csv", help="write one row a file")
    check.add_argument("--json", action="store_true", help="print every file as JSON")
    check.set_defaults(run=_check)

    model = commands.add_parser("model", help="layers, parameters, FLOPs and receptive fields of a network")
    model.add_argument("name", metavar="NAME", help="a group of conf/model, or any timm name")
    model.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings of section model, e.g. stem=small width=0.5",
    )
    model.add_argument(
        "--size", nargs="+", type=_positive, default=[224], metavar="N", help="pixels or voxels (default 224)"
    )
    model.add_argument("--channels", type=_positive, default=1, metavar="N", help="of a scan (default 1)")
    model.add_argument("--classes", type=_positive, default=3, metavar="N", help="labels (default 3)")
    model.add_argument(
        "--depth",
        type=_positive,
        metavar="N",
        help="nested modules shown (default: all of a small network, else 3)",
    )
    model.add_argument("--json", action="store_true", help="print everything as JSON")
    model.set_defaults(run=_model)

    predict = commands.add_parser("predict", help="predict scans with a bundle")
    predict.add_argument("--bundle", type=Path, required=True, help="folder written by stage packaging")
    predict.add_argument("--input", type=Path, required=True, help="a scan, or a folder searched for scans")
    predict.add_argument(
        "--output", type=Path, required=True, help="folder for predictions.csv, failures.csv, maps/"
    )
    predict.add_argument("--runtime", choices=["auto", "onnx", "torch"], default="auto", help="default: auto")
    predict.add_argument(
        "--batch-size", type=_positive, default=32, metavar="N", help="scans a forward pass (default 32)"
    )
    predict.add_argument(
        "--threads", type=_positive, metavar="N", help="arithmetic threads (default: all cores)"
    )
    predict.add_argument("--no-maps", action="store_true", help="tables only")
    predict.add_argument("--json", action="store_true", help="print the summary as JSON")
    predict.set_defaults(run=_predict)

    _explain_parser(commands)

    sweep = commands.add_parser(
        "sweep",
        help="search settings by many trial runs",
        description="Runs the pipeline under many settings; the best goes to conf/experiment/<name>.yaml.",
        epilog="Started again, a sweep goes on to the wanted number of trials.",
    )
    sweep.add_argument(
        "space",
        nargs="+",
        metavar="SPACE",
        help="a file of conf/sweep/ by its name, and key=values over any conf keys and groups: "
        "training.lr=log(1e-4,1e-2) model.dropout=uniform(0,0.5) training.batch_size=int(16,64) "
        "model=cnn,resnet18; a single value is fixed",
    )
    sweep.add_argument("--name", help="of the study and the experiment (default: the file's, or sweep)")
    sweep.add_argument("--sampler", choices=["tpe", "random", "grid"], help="default: tpe")
    sweep.add_argument(
        "--trials", type=_positive, metavar="N", help="in all (default 20; grid: every combination)"
    )
    sweep.add_argument(
        "--metric", help="of the validation split (default val_loss; or val_auc, val.auc_macro)"
    )
    sweep.add_argument("--direction", choices=["minimize", "maximize"], help="default: what fits the metric")
    sweep.add_argument(
        "--pruner", choices=["median", "hyperband", "none"], help="stops poor trials early (default: median)"
    )
    sweep.add_argument(
        "--until",
        choices=["training", "evaluation", "explanation", "packaging"],
        help="last stage of a trial (default: training)",
    )
    sweep.add_argument("--jobs", type=_positive, metavar="N", help="trials at a time (default 1)")
    sweep.add_argument("--seed", type=int, metavar="N", help="of the sampler (default 0)")
    sweep.add_argument("--json", action="store_true", help="print the outcome as JSON")
    sweep.set_defaults(run=_sweep)

    compare = commands.add_parser(
        "compare", help="tracked runs side by side, the two best tested against each other"
    )
    compare.add_argument("runs", nargs="*", metavar="RUN", help="ids or names (default: the newest)")
    compare.add_argument("--study", metavar="NAME", help="the trials of a sweep")
    compare.add_argument(
        "--limit", type=_positive, metavar="N", help="runs to show (default: the newest 8, all of a study)"
    )
    compare.add_argument(
        "--by",
        default="",
        metavar="METRIC",
        help="orders the runs and names the two best (default: val.auc_macro, or what a sweep optimised)",
    )
    compare.add_argument(
        "--metrics",
        nargs="+",
        default=["test.auc_macro", "test.accuracy", "test.f1_macro", "test.ece", "val.auc_macro", "val_loss"],
        help="metrics to show",
    )
    compare.add_argument("--html", type=Path, metavar="FILE", help="write a page that needs nothing else")
    compare.add_argument(
        "--log", action="store_true", help="also log the page to the newest or the parent run"
    )
    compare.add_argument("--json", action="store_true", help="everything, as JSON")
    compare.set_defaults(run=_compare)

    pool = commands.add_parser("pool", help="metrics over the test scans of a cross-validation's runs")
    pool.add_argument("predictions", type=Path, nargs="+", help="predictions.parquet of each run")
    pool.add_argument(
        "--resamples", type=_positive, default=1000, metavar="N", help="of the bootstrap (default 1000)"
    )
    pool.add_argument("--json", action="store_true", help="everything, as JSON")
    pool.set_defaults(run=_pool)

    bundle = commands.add_parser("bundle", help="verify a bundle and print its model card")
    bundle.add_argument("bundle", type=Path, help="bundle folder")
    bundle.add_argument("--json", action="store_true", help="print bundle.json instead")
    bundle.set_defaults(run=_bundle)
    return top


def main() -> int:
    """Entry point: 0 done, 1 refused with a reason, 2 wrong usage, 3 done but some scans failed."""
    arguments = parser().parse_args()
    try:
        return int(arguments.run(arguments))
    except ScanlensError as error:
        print(f"scanlens {arguments.command}: {error}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print(f"scanlens {arguments.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
