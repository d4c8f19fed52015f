"""What importing Handful costs, in a process of its own."""

import subprocess
import sys

HEAVY = (
    "numpy",
    "PIL",
    "onnxruntime",
    "sklearn",
    "pandas",
    "tokenizers",
    "safetensors",
    "pydantic",
    "rich",
    "typer",
)


def modules_after(code: str) -> set[str]:
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_importing_handful_loads_nothing_heavy():
    assert modules_after("import handful; handful.__version__; dir(handful)").isdisjoint(HEAVY)


def test_a_classifier_needs_neither_scikit_learn_nor_a_running_encoder():
    loaded = modules_after(
        "import handful; repr(handful.FewShotClassifier()), handful.load, handful.Prediction"
    )
    assert "numpy" in loaded
    assert loaded.isdisjoint({"sklearn", "onnxruntime", "tokenizers", "pandas", "rich", "typer"})


def test_teaching_by_embeddings_needs_no_runtime():
    code = "import handful; handful.FewShotClassifier(None, 'prototype').fit_embeddings([[0, 1]], ['a'])"
    assert modules_after(code).isdisjoint({"sklearn", "onnxruntime", "tokenizers", "pandas", "rich"})
