"""One small member of each of timm's families: a network with finite maps, or one clear line.

Families of a newer timm are tried with the first name that it lists.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from scanlens.config.parse import parse
from scanlens.config.schema import Model
from scanlens.errors import SettingsError
from scanlens.models.registry import build, resolve_model
from tests.helpers.settings import model_section

# Each family's member with fewest weights, counted on the meta device.
SMALLEST = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
QUICK = {
    "cait", "csatv2", "byoanet", "levit", "maxxvit", "mlp_mixer", "pit", "qwen3_vit", "tnt", "visformer",
}  # fmt: skip
"""Families of the default run, one a kind of trouble."""
FEWER: dict[str, dict[str, Any]] = {
    "beit": {"depth": 2}, "deepseek_vit": {"depth": 1}, "gemma4_vit": {"depth": 2}, "naflexvit": {"depth": 2},
    "qwen3_vit": {"depth": 2}, "nasnet": {"num_features": 384, "stem_size": 16},
}  # fmt: skip
"""Arguments of families without a small member: fewer of blocks that are alike, or fewer features."""
REFUSED = {
    "coat": "no spatial features: it gives a list",
    "crossvit": "no spatial features: it gives a list",
    "csatv2": "takes scans of 3 channels only, these have 1",
    "efficientvim": "no spatial features: it gives a list",
    "pit": "no spatial features: it gives (1, 256)",
}
SIDE = 64


def rows() -> list[Any]:
    """One case a family that timm has; those not of ``QUICK`` are slow."""
    return [
        pytest.param(family, marks=[] if family in QUICK else [pytest.mark.slow])
        for family in timm.list_modules()
    ]


@pytest.mark.parametrize("family", rows())
def test_a_family_gives_maps_or_one_line(family: str) -> None:
    name = SMALLEST.get(family) or timm.list_models(module=family)[0]
    section = {**model_section("base"), "name": name, "library": "timm", "args": FEWER.get(family, {})}
    architecture = resolve_model(parse(Model, section, "model"), (1, SIDE, SIDE), 3)
    try:
        network = build(architecture).eval()
    except SettingsError as error:
        assert family in REFUSED or family not in SMALLEST
        said = str(error)
        assert f"model.name {name}" in said
        assert REFUSED.get(family, "") in said
        assert "Choose another network, such as resnet18" in said
        assert "\n" not in said
        return
    assert family not in REFUSED
    scan = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        evidence = network.explain(scan)
    assert evidence.local.shape[:2] == (1, 3)
    # More than one cell a side, and no more than the scan has pixels.
    assert 2 <= min(evidence.local.shape[2:]) <= max(evidence.local.shape[2:]) <= SIDE
    assert evidence.local.isfinite().all()
    torch.testing.assert_close(evidence.local.flatten(2).mean(2), evidence.logits, rtol=1e-3, atol=1e-3)
