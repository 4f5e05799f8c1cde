"""The command line: one subcommand a task, each with ``--help``."""

from __future__ import annotations

import argparse
from pathlib import Path

from scanlens import __version__
from scanlens.cli import commands


def _positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _explain_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from scanlens.methods.views import METHODS

    explain = subparsers.add_parser(
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
    explain.set_defaults(run=commands.run_explain)


def parser() -> argparse.ArgumentParser:
    """The command line: one subcommand a task, each with ``--help``."""
    top = argparse.ArgumentParser(
        prog="scanlens",
        description="From raw scans to calibrated classifiers and probability maps.",
        epilog="The pipeline runs with: dvc repro, or dvc exp run -S group=choice -S section.key=value",
    )
    top.add_argument("--version", action="version", version=f"scanlens {__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    params = subparsers.add_parser("params", help="write params.yaml from conf/")
    params.add_argument("overrides", nargs="*", help="Hydra overrides, e.g. model=resnet50 training.lr=3e-4")
    params.add_argument("--check", action="store_true", help="only say whether params.yaml is up to date")
    params.add_argument(
        "--reference",
        action="store_true",
        help="write docs/settings.md, the page of all settings",
    )
    params.set_defaults(run=commands.params)

    check = subparsers.add_parser("check", help="read every file of a folder and say which are scans")
    check.add_argument("path", type=Path, metavar="PATH", help="a folder searched for scans, or one scan")
    check.add_argument(
        "--labels",
        metavar="FILE.csv|folders",
        help="also deal and judge the scans by this label table, or by class folders, as the pipeline will",
    )
    check.add_argument(
        "-S", "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
        help="with --labels: a setting, as dvc exp run takes it, e.g. -S data.columns.patient=id",
    )  # fmt: skip
    check.add_argument("--html", type=Path, metavar="FILE", help="with --labels: write the data-quality page")
    check.add_argument(
        "--dims",
        choices=["2", "3", "auto"],
        default="auto",
        help="images, volumes, or each as it is (default)",
    )
    check.add_argument("--limit-seconds", type=_positive, metavar="N", help="time for one file (default 60)")
    check.add_argument(
        "--max-memory", type=_positive, metavar="MIB", help="memory for one file (default 768)"
    )
    check.add_argument(
        "--workers", type=_positive, metavar="N", help="reading processes (default: all cores)"
    )
    check.add_argument("--report", type=Path, metavar="FILE.csv", help="write one row per file")
    check.add_argument("--json", action="store_true", help="print every file as JSON")
    check.set_defaults(run=commands.run_check)

    model = subparsers.add_parser("model", help="layers, parameters, FLOPs and receptive fields of a network")
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
    model.set_defaults(run=commands.model)

    predict = subparsers.add_parser("predict", help="predict scans with a bundle")
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
    predict.set_defaults(run=commands.run_predict)

    _explain_parser(subparsers)

    sweep = subparsers.add_parser(
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
    sweep.add_argument(
        "--pruner", choices=["median", "hyperband", "none"], help="stops poor trials early (default: median)"
    )
    sweep.add_argument(
        "--until",
        choices=["ensemble", "evaluation", "explanation", "packaging"],
        help="last stage of a trial (default: ensemble)",
    )
    sweep.add_argument("--jobs", type=_positive, metavar="N", help="trials at a time (default 1)")
    sweep.add_argument("--seed", type=int, metavar="N", help="of the sampler (default 0)")
    sweep.add_argument("--json", action="store_true", help="print the outcome as JSON")
    sweep.set_defaults(run=commands.run_sweep)

    compare = subparsers.add_parser(
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
    compare.add_argument("--json", action="store_true", help="everything, as JSON")
    compare.set_defaults(run=commands.run_compare)

    pool = subparsers.add_parser("pool", help="metrics over the test scans of a cross-validation's runs")
    pool.add_argument("predictions", type=Path, nargs="+", help="predictions.parquet of each run")
    pool.add_argument(
        "--resamples", type=_positive, default=1000, metavar="N", help="of the bootstrap (default 1000)"
    )
    pool.add_argument("--json", action="store_true", help="everything, as JSON")
    pool.set_defaults(run=commands.run_pool)

    bundle = subparsers.add_parser("bundle", help="verify a bundle and print its model card")
    bundle.add_argument("bundle", type=Path, help="bundle folder")
    bundle.add_argument("--json", action="store_true", help="print bundle.json instead")
    bundle.set_defaults(run=commands.bundle)
    return top
