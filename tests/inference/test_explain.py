"""The command: scans in, pictures and raw values and facts out; a bad file costs itself alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
import torch

from scanlens import cli
from scanlens.errors import BundleError, SettingsError
from scanlens.inference.bundle import open_bundle
from scanlens.inference.explain import explain, use_device
from scanlens.inference.reading import Reader, Ready
from scanlens.inference.runtime import choose_runtime, load_network
from scanlens.inference.viewer import Request
from scanlens.methods.class_views import class_view
from scanlens.methods.views import METHODS, Options
from scanlens.models.predict import to_input
from tests.helpers.networks import small_bundle
from tests.helpers.tiny import edit_bundle, write_scan

EVERY = tuple(METHODS)
QUICK = Options(samples=2, steps=3, channels=2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("small") / "bundle")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number in range(2):
        write_scan(tmp_path / "scans" / f"{number}.png", number)
    return tmp_path / "scans"


def look(
    bundle: Path, path: Path, out: Path, *methods: str, classes: str = "predicted", **options: Any
) -> dict:
    request = Request(methods, (classes,), Options(**options) if options else QUICK, progress=False)
    return explain(open_bundle(bundle), path, out, request)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["scanlens", "explain", *map(str, arguments)])
    return cli.main()


def ready(bundle: Path, scans: Path, name: str) -> Ready:
    opened = open_bundle(bundle)
    found = Reader(scans, opened.dims, opened.checks, opened.preprocessor)(name)
    assert isinstance(found, Ready)
    return found


def test_every_method_writes_a_picture_and_its_values(bundle: Path, scans: Path, tmp_path: Path) -> None:
    facts = look(bundle, scans, tmp_path / "out", *EVERY)
    assert facts == json.loads((tmp_path / "out" / "explanation.json").read_text(encoding="utf-8"))
    assert [scan["path"] for scan in facts["scans"]] == ["0.png", "1.png"]
    assert facts["failures"] == []
    names = {"explanation.json", "filters.png", "filters.npy"}
    for scan in facts["scans"]:
        assert [view["method"] for view in scan["views"]] == [m for m in EVERY if m != "filters"]
        names |= {f"{scan['scan_id']}-{v['method']}{end}" for v in scan["views"] for end in (".png", ".npy")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    for view in [*facts["network"], *(view for scan in facts["scans"] for view in scan["views"])]:
        values = np.load(tmp_path / "out" / view["values"], allow_pickle=False)
        assert (values.dtype, list(values.shape)) == (np.float32, view["shape"])
        assert np.isfinite(values).all()
        assert cv2.imread(str(tmp_path / "out" / view["image"])) is not None


def test_values_and_probabilities_are_those_of_inference(bundle: Path, scans: Path, tmp_path: Path) -> None:
    facts = look(bundle, scans, tmp_path / "out", "probability", "occlusion", classes="all")
    opened = open_bundle(bundle)
    item = ready(bundle, scans, "1.png")
    logits, _ = choose_runtime(opened, "torch", 1)[1](item.pixels[np.newaxis])
    odds = np.exp((logits[0] - logits[0].max()) / 1.7)
    scan = facts["scans"][1]
    assert scan["scan_id"] == item.scan_id
    assert list(scan["probabilities"].values()) == pytest.approx(list(odds / odds.sum()), abs=1e-5)
    assert scan["predicted"] == opened.labels[int(logits[0].argmax())]
    tensor = to_input(item.pixels[np.newaxis], opened.statistics, "cpu")[0]
    for view in scan["views"]:
        expected = class_view(
            view["method"], load_network(opened), tensor, [0, 1, 2], QUICK, 1.7, progress=False
        ).values
        assert view["classes"] == ["normal", "left", "right"]
        np.testing.assert_allclose(np.load(tmp_path / "out" / view["values"]), expected, atol=1e-5)
    probability, occlusion = (view["scale"] for view in scan["views"])
    assert probability == {"low": 0.0, "high": 1.0, "same_for_all_scans": True}
    assert occlusion["high"] == pytest.approx(np.abs(np.load(tmp_path / "out" / view["values"])).max())
    assert occlusion["low"] == -occlusion["high"]
    assert not occlusion["same_for_all_scans"]


def test_regions_are_of_findings_and_lie_in_the_scan(bundle: Path, scans: Path, tmp_path: Path) -> None:
    views = [
        look(bundle, scans, tmp_path / "out", "probability", threshold=threshold)["scans"][0]["views"][0]
        for threshold in (1e-6, 0.999999)
    ]
    regions = views[0]["regions"]
    assert {region["label"] for region in regions} == {"left", "right"}
    for region in regions:
        assert region["scan_box_low"] == [0, 0]
        assert region["scan_box_high"] == [20, 24]
    assert len(views[1]["regions"]) < len(regions)


def test_volumes(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle", 3)
    rng = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    volume = nibabel.Nifti1Image(rng.random((8, 9, 10)).astype(np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
    nibabel.save(volume, tmp_path / "scans" / "a.nii")
    facts = look(bundle, tmp_path / "scans", tmp_path / "out", *EVERY)
    assert facts["failures"] == []
    assert [view["method"] for view in facts["scans"][0]["views"]] == [m for m in EVERY if m != "filters"]
    occlusion = next(view for view in facts["scans"][0]["views"] if view["method"] == "occlusion")
    assert occlusion["shape"] == [1, 8, 8, 6]
    found = look(bundle, tmp_path / "scans", tmp_path / "out", "probability", threshold=1e-6)
    regions = found["scans"][0]["views"][0]["regions"]
    assert all(region["volume_mm3"] > 0 for region in regions)


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({"members": 2}, "multiclass"),
        ({"channels": 3}, "multiclass"),
        (
            {"name": "vit_tiny_patch16_224", "library": "timm", "width": 1.0, "size": (32, 32)},
            "multiclass",
        ),
        ({"head": "ordinal"}, "ordinal"),
        ({"head": "regression", "classes": 1, "centre": 60.0, "spread": 10.0}, "regression"),
    ],
)
def test_other_networks(changes: dict, task: str, scans: Path, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle", task=task, **changes)
    facts = look(bundle, scans / "0.png", tmp_path / "out", *EVERY)
    assert facts["failures"] == []
    scan = facts["scans"][0]
    if task == "regression":
        assert "predicted" not in scan
        assert scan["views"][0]["scale"] == {"low": 30.0, "high": 90.0, "same_for_all_scans": True}
        logits, _ = choose_runtime(open_bundle(bundle), "torch", 1)[1](
            ready(bundle, scans, "0.png").pixels[None]
        )
        assert scan["value"] == pytest.approx(float(logits[0, 0]), rel=1e-5)


def test_a_bad_file_costs_itself_alone(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (scans / "text.dcm").write_bytes(b"hello " * 100)
    (scans / "empty.png").write_bytes(b"")
    code = call(monkeypatch, f"--bundle={bundle}", f"--input={scans}", f"--out={tmp_path / 'out'}")
    printed = capsys.readouterr()
    assert code == 3
    lines = [line for line in printed.err.splitlines() if line.startswith("scanlens explain:")]
    assert lines == [
        "scanlens explain: empty.png: empty file",
        "scanlens explain: text.dcm: not an image this scanlens reads",
    ]
    assert "2 scans explained, 2 failed" in printed.out
    facts = json.loads((tmp_path / "out" / "explanation.json").read_text(encoding="utf-8"))
    assert [failure["path"] for failure in facts["failures"]] == ["empty.png", "text.dcm"]
    assert len(facts["scans"]) == 2


def test_options_reach_the_methods(
    bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code = call(
        monkeypatch, f"--bundle={bundle}", f"--input={scans / '0.png'}", f"--out={tmp_path / 'out'}",
        "--method=occlusion", "--method=filters", "--class=left", "--class=2", "--patch", 4, 5, "--stride", 3,
        "--baseline=blur", "--steps=2", "--channels=3", "--seed=4", "--layer=1.layers.0", "--scale=2.5",
        "--side=100", "--batch-size=7", "--threads=1", "--device=cpu", "--json",
    )  # fmt: skip
    assert code == 0
    facts = json.loads(capsys.readouterr().out)
    view = facts["scans"][0]["views"][0]
    assert (view["classes"], view["patch"], view["stride"]) == (["left", "right"], [4, 5], [3, 3])
    assert view["scale"] == {"low": -2.5, "high": 2.5, "same_for_all_scans": True}
    assert facts["methods"]["occlusion"]["options"]["baseline"] == "blur"
    assert facts["methods"]["filters"]["options"]["seed"] == 4
    assert facts["network"][0]["layer"] == "backbone.1.layers.0"
    assert len(facts["network"][0]["after"]) == 3
    height = cv2.imread(str(tmp_path / "out" / view["image"])).shape[0]
    assert height == 100 + 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("grad_cam",), "classes": ("7",)}, "7"),
        ({"methods": ("grad_cam",), "classes": ("tumour",)}, "tumour"),
        ({"methods": ("grad_cam",), "options": Options(layer="nowhere")}, "no layer 'nowhere'"),
        ({"methods": ("activations",), "options": Options(layer="head")}, "no cells"),
        ({"methods": ("occlusion",), "options": Options(patch=(99,))}, "--patch is 99"),
        ({"methods": ("occlusion",), "options": Options(stride=(99,))}, "--stride is 99"),
        ({"methods": ("probability",), "options": Options(threshold=1.5)}, "threshold"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_scan_is_read(
    bundle: Path, scans: Path, tmp_path: Path, options: dict, message: str
) -> None:
    request = Request(**{"classes": ("predicted",), "options": QUICK, "progress": False, **options})
    with pytest.raises(SettingsError, match=message):
        explain(open_bundle(bundle), scans, tmp_path / "out", request)
    assert not (tmp_path / "out").exists()


def test_a_network_without_feature_maps_is_offered_occlusion(scans: Path, tmp_path: Path) -> None:
    bundle = small_bundle(
        tmp_path / "bundle", name="dense", width=1.0, pooling="flatten", hidden=(6,), stem="standard"
    )
    for method in ("grad_cam", "hires_cam", "layer_cam"):
        with pytest.raises(SettingsError, match="occlusion"):
            look(bundle, scans, tmp_path / "out", method)
    facts = look(bundle, scans, tmp_path / "out", "occlusion", "integrated_gradients", "smoothgrad")
    assert len(facts["scans"]) == 2


def test_there_must_be_scans_and_a_whole_bundle(bundle: Path, scans: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file or folder"):
        look(bundle, tmp_path / "nothing", tmp_path / "out", "probability")
    wrong = small_bundle(tmp_path / "wrong")
    architecture = {**open_bundle(wrong).architecture, "width": 0.5}
    edit_bundle(wrong, architecture=architecture)
    with pytest.raises(BundleError, match="do not fit"):
        look(wrong, scans, tmp_path / "out", "probability")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    assert use_device("auto", 1, 2) == use_device("cpu", 1, 2) == "cpu"
    with pytest.raises(SettingsError, match="--device is cuda, but torch sees no GPU"):
        use_device("cuda", 1, 2)


def test_filters_need_no_scan(bundle: Path, tmp_path: Path) -> None:
    facts = look(bundle, tmp_path / "nothing", tmp_path / "out", "filters")
    assert (facts["scans"], len(facts["network"])) == ([], 1)


def test_logits_that_are_not_finite_fail_by_name(scans: Path, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    from safetensors.torch import load_file, save_file

    from scanlens.inference.bundle import sha256

    state = load_file(bundle / "model.safetensors")
    state["head.bias"][0] = torch.nan
    save_file(state, bundle / "model.safetensors")
    content = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    files = {**content["files"], "model.safetensors": sha256(bundle / "model.safetensors")}
    edit_bundle(bundle, files=files)
    facts = look(bundle, scans, tmp_path / "out", "occlusion")
    assert facts["scans"] == []
    assert [failure["path"] for failure in facts["failures"]] == ["0.png", "1.png"]
    assert "not finite" in facts["failures"][0]["reason"]


def test_the_same_call_gives_the_same_bytes(bundle: Path, scans: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        look(bundle, scans, tmp_path / out, "smoothgrad", "occlusion", "filters", "receptive_field")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
