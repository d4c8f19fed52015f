"""Put the figures of benchmarks/results into the README, between its two markers, and what its code prints.

python scripts/readme_figures.py
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: scripts/readme_figures.py -->\n", "<!-- end of figures -->\n"

Result = dict[str, Any]  # JSON, as benchmarks/tables.py writes it


def result(name: str) -> Result:
    """What a benchmark kept."""
    found: Result = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def accuracy(found: Result, key: str, contenders: dict[str, str]) -> list[str]:
    """A table of mean accuracy: contenders by shots."""
    shots = list(dict.fromkeys(row["shots"] for row in found["rows"]))
    means = {(row["shots"], row[key]): row["mean"]["value"] for row in found["rows"]}
    lines = [f"| photos per class | {' | '.join(map(str, shots))} |", f"|---|{'---:|' * len(shots)}"]
    for name, shown in contenders.items():
        cells = [f"{means[k, name]:.1f}" if (k, name) in means else "" for k in shots]
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return lines


def gains(found: Result, contender: str, shown: str) -> str:
    """The row of differences to the best reference, with their intervals."""
    shots = list(dict.fromkeys(row["shots"] for row in found["rows"]))
    over = {
        row["shots"]: row["over_best_reference"] for row in found["rows"] if row["contender"] == contender
    }
    cells = [
        f"{over[k]['value']:+.1f} [{over[k]['low']:+.1f}, {over[k]['high']:+.1f}]" if over.get(k) else ""
        for k in shots
    ]
    return f"| {shown} | {' | '.join(cells)} |".replace("-", "−")


def figures() -> str:
    """The README's section, in Markdown."""
    pictures, features, encoder = result("accuracy_images"), result("accuracy_features"), result("encoder")
    by_pictures = accuracy(
        pictures,
        "contender",
        {
            "auto, words": "**`auto`, with the names of the classes**",
            "auto": "**`auto`, pictures alone**",
            "auto, swapped words": "`auto`, each class with the name of another",
            "logistic regression": "logistic regression (scikit-learn)",
            "ncm": "nearest class mean",
            "tip": "Tip-Adapter",
            "gda": "Gaussian discriminants",
        },
    )
    by_pictures.append(gains(pictures, "auto, words", "`auto` with names − the best reference of each set"))
    by_features = accuracy(
        features,
        "method",
        {
            "auto": "**`auto`**",
            "auto, no background": "`auto`, without a background",
            "lda": "`lda`",
            "clip-adapter": "`clip-adapter`",
            "tip-f": "`tip-f`",
            "gda": "Gaussian discriminants",
            "logistic regression": "logistic regression (scikit-learn)",
            "ncm": "nearest class mean",
        },
    )
    files = next(row for row in encoder["rows"] if row["pictures"].startswith("files"))
    return "\n".join(
        [
            f"Accuracy in percent with the builtin encoder, mean of two sets (six kinds of waste, ten of "
            f"clothes) and of {pictures['seeds']} draws; intervals are of 95 %:",
            "",
            *by_pictures,
            "",
            "The same on rows of CLIP ViT-B/32, without words, mean of Caltech-101, DTD and Oxford Pets; "
            "`1–16` are unequal numbers:",
            "",
            *by_features,
            "",
            "What is gained is gained with few photos: with 16 of each class the choice among good linear "
            "methods matters little.",
            "",
            f"Encoding takes {1000 / files['handful, per s']:.0f} ms for a photo on "
            f"{encoder['machine']['cores']} cores, decoding included; at most "
            f"{encoder['peak_resident_bytes'] / 2**20:.0f} MiB are resident. All figures, with commands, "
            "machine and commit, are in [benchmarks/results](benchmarks/results); `make bench` makes them.",
            "",
        ]
    )


def output(readme: str) -> str:
    """What the README's Python block prints."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def main() -> None:
    readme = README.read_text("utf-8")
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    head, fence, rest = before.partition("```text\n")
    _, close, tail = rest.partition("```\n")
    before = f"{head}{fence}{output(readme)}{close}{tail}"
    README.write_text(f"{before}{BEGIN}\n{figures()}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
