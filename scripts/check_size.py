"""Measure a plain install: what `pip install .` puts into an empty environment.

    python scripts/check_size.py

Exits with 1 if it is more than 400 MB, or has a package that only some users want.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 400e6  # bytes
UNWANTED = {"torch", "scipy", "scikit-learn", "pandas", "onnx", "faiss-cpu"}
_LISTED = 8  # largest packages to show


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = Path(folder) / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python)]
        subprocess.run([*pip, "install", "--quiet", str(ROOT)], check=True)
        site = next(Path(folder).glob("lib/python*/site-packages"))
        sizes = {part.name: size(part) for part in site.iterdir()}
        listed = subprocess.run([*pip, "list", "--format=freeze"], capture_output=True, text=True, check=True)
    installed = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    total = sum(sizes.values())
    print(f"{total / 1e6:.0f} MB, {len(installed)} packages; at most {LIMIT / 1e6:.0f} MB are promised")
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True)[:_LISTED]:
        print(f"  {sizes[name] / 1e6:6.1f} MB  {name}")
    if unwanted := installed & UNWANTED:
        print(f"not meant to be there: {', '.join(sorted(unwanted))}")
    sys.exit(total > LIMIT or bool(unwanted))


def size(part: Path) -> int:
    """Bytes on the disk, in whole blocks, as `du` counts."""
    files = part.rglob("*") if part.is_dir() else [part]
    return sum(file.lstat().st_blocks * 512 for file in files)


if __name__ == "__main__":
    main()
