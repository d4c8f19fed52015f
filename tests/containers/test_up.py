"""scripts/up.sh, where something that it needs is missing."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = shutil.which("sh") or "/bin/sh"


def up(programs: Path) -> subprocess.CompletedProcess[str]:
    """Run it with the programs of one folder, beside what every shell has."""
    for name in ("dirname", "mkdir", "chmod", "od", "tr"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return subprocess.run(
        [SHELL, str(ROOT / "scripts" / "up.sh")],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder: Path, name: str, code: int) -> None:
    (folder / name).write_text(f"#!{SHELL}\nexit {code}\n")
    (folder / name).chmod(0o755)


def test_without_compose_it_names_those_that_it_can_use(tmp_path: Path) -> None:
    done = up(tmp_path)
    assert done.returncode == 1
    assert "`docker compose` with a running Docker nor podman-compose" in done.stderr


def test_without_the_image_it_says_how_to_build_it(tmp_path: Path) -> None:
    program(tmp_path, "podman-compose", 0)
    program(tmp_path, "podman", 1)
    done = up(tmp_path)
    assert done.returncode == 1
    assert "make image" in done.stderr
