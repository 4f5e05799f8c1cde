"""Of two classes the finding is the one that is not called normal, and the settings may say otherwise."""

from __future__ import annotations

import pytest

from scanlens.errors import SettingsError
from scanlens.tasks import findings, positive_class


@pytest.mark.parametrize(
    ("labels", "finding"),
    [
        (["ill", "well"], "ill"),
        (["NORMAL", "PNEUMONIA"], "PNEUMONIA"),
        (["Healthy control", "AD"], "AD"),
        (["malignant", "benign"], "malignant"),
        (["benign", "normal"], "benign"),
        (["abnormal", "normal"], "abnormal"),
        (["normal", "not normal"], "not normal"),
        (["tumor", "no_tumor"], "tumor"),
        (["tumor", "notumor"], "tumor"),
        (["covid", "Non-COVID"], "covid"),
        (["nodule", "no"], "nodule"),
        (["Positive", "negative"], "Positive"),
        (["1", "0"], "1"),
        (["True", "False"], "True"),
        (["肺炎", "正常"], "肺炎"),
        (["1_ill", "0_normal"], "1_ill"),
    ],
)
def test_names_tell_the_finding_in_either_order(labels: list[str], finding: str) -> None:
    for order in (labels, labels[::-1]):
        found = positive_class(order)
        assert found is not None
        assert (found.label, found.named) == (finding, True)
        assert found.reason == f"the other class is called {found.other}"


@pytest.mark.parametrize("labels", [["a", "b"], ["control", "normal"], ["nodule", "cyst"], ["-1", "1"]])
def test_where_no_name_tells_the_second_is_a_guess(labels: list[str]) -> None:
    found = positive_class(labels)
    assert found is not None
    assert (found.label, found.other, found.named) == (labels[1], labels[0], False)


def test_the_setting_decides() -> None:
    found = positive_class(["ill", "well"], "well")
    assert found is not None
    assert (found.label, found.other, found.reason, found.named) == ("well", "ill", None, True)


def test_more_classes_have_no_positive_one() -> None:
    assert positive_class(["no_dr", "mild", "severe"]) is None
    assert findings(["mild", "no_dr", "severe"]) == ["mild", "severe"]
    assert findings(["benign", "malignant", "normal"]) == ["benign", "malignant"]
    assert findings(["adenoma", "non-small cell", "small cell"]) == ["non-small cell", "small cell"]


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"]])
def test_a_setting_that_fits_no_two_classes_is_refused(labels: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"data\.positive is 'c', but the classes are a, b"):
        positive_class(labels, "c")
