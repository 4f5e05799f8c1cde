"""scanlens: from raw scans to calibrated classifiers and probability maps."""

import os

__version__ = "0.1.0"

# Nothing leaves the machine. These libraries report to their makers, and ONNX Runtime keeps a device id and a
# queue of events in the home folder, unless they find this when they are imported. Every process of scanlens
# imports this file first. What is set already is somebody's own choice.
for _name, _value in {
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "true",
}.items():
    os.environ.setdefault(_name, _value)
