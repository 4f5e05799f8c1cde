"""One site is left out, whole and alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.splits.assign import assign_splits, check_split_settings
from tests.helpers.deals import ratio_gap, scans_of, splits_per
from tests.helpers.tiny import split

SITES = np.array(["west", "north", "south"])


def at_sites(patients: int = 90, seed: int = 0) -> pd.DataFrame:
    """Draw patients of one site each."""
    scans = scans_of(patients, seed)
    return scans.assign(site=SITES[pd.factorize(scans["patient"])[0] // 3 % 3])


@pytest.mark.parametrize("site", SITES)
def test_the_test_split_is_the_site(site: str) -> None:
    scans = at_sites()
    dealt = assign_splits(scans, split(method="site", site=site))
    assert ((dealt["split"] == "test") == (scans["site"] == site)).all()
    rest = dealt["split"][scans["site"] != site]
    assert (rest == "val").mean() == pytest.approx(0.2 / 0.8, abs=0.02)
    assert ratio_gap(scans["label"][rest.index], rest == "val") <= 0.02
    assert splits_per(scans, dealt["split"], "patient") == 1
    assert set(dealt["fold"]) == {-1}


def test_without_a_name_the_fold_counts_the_sites_in_alphabetical_order() -> None:
    scans = at_sites()
    for fold, site in enumerate(sorted(SITES)):
        by_number = assign_splits(scans, split(method="site", fold=fold))
        assert by_number.equals(assign_splits(scans, split(method="site", site=site)))


def test_a_patient_of_the_test_site_is_tested_there_and_used_nowhere_else() -> None:
    scans = at_sites()
    north = scans.index[scans["site"] == "north"]
    west = scans.index[scans["site"] == "west"]
    scans.loc[west[0], "patient"] = scans.loc[north[0], "patient"]
    scans.loc[west[-1], "pixel_sha256"] = scans.loc[north[-1], "pixel_sha256"] = "copy"
    splits = assign_splits(scans, split(method="site", site="north"))["split"]
    assert set(splits[north]) == {"test"}
    assert splits[west[0]] == splits[west[-1]] == ""
    # Their other scans go too: those of one patient, and those of the copy's patient.
    held = scans["patient"].isin(scans["patient"][north]) | (scans["patient"] == scans["patient"][west[-1]])
    assert (splits[held & (scans["site"] != "north")] == "").all()
    assert (splits[~held] != "").all()


@pytest.mark.parametrize(
    ("settings", "change", "reason"),
    [
        ({"site": "east"}, {}, r"there is no site 'east'\. The sites are north, south, west\."),
        ({"fold": 3}, {}, r"the last of 3 sites is 2.*north, south, west"),
        ({}, {"site": ""}, r"scans name no site.*data\.columns\.site"),
        ({}, {"site": "north"}, "there is only north"),
    ],
)
def test_sites_that_cannot_be_told_are_refused_early(
    settings: dict[str, Any], change: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        check_split_settings(split(method="site", **settings), at_sites().assign(**change))


def test_one_patient_elsewhere_is_refused() -> None:
    scans = at_sites()
    scans.loc[scans["site"] != "north", "patient"] = "everybody"
    with pytest.raises(SettingsError, match="1 patients cannot fill 2 splits"):
        assign_splits(scans, split(method="site", site="north"))
