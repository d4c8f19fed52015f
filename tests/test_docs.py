"""What the docs say is so: generated parts are fresh, the site builds, shell lines run as pasted."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_ADDRESS = re.compile(r"serves on (http\S+)")


def shell_blocks(page: Path, language: str) -> list[str]:
    """A page's blocks of shell lines, without those that install and start the service."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [block for block in found if "handful serve" not in block]


def python_blocks(page: Path) -> list[str]:
    """A page's blocks of Python."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a real `handful serve`."""
    folder = tmp_path_factory.mktemp("served")
    command = [str(Path(sys.executable).with_name("handful")), "serve", "--port", "0", "--data", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = next(match for line in process.stderr if (match := _ADDRESS.search(line)))
    with httpx2.Client(transport=httpx2.HTTPTransport(retries=5), timeout=60) as client:
        while not client.get(f"{found.group(1)}/readyz").is_success:
            assert process.poll() is None
        yield found.group(1)
    process.terminate()
    process.communicate()


def copy_examples(folder: Path) -> None:
    """Some of the photos, where a clone has them."""
    data = folder / "examples" / "data"
    for kind in ("trashnet/glass", "trashnet/metal", "trashnet/paper", "other"):
        (data / kind).mkdir(parents=True)
        for photo in sorted((ROOT / "examples" / "data" / kind).glob("*.jpg")):
            if kind == "other" or photo.stem < "012" or photo.stem in ("033", "034"):
                (data / kind / photo.name).symlink_to(photo)


def run_as_pasted(blocks: list[str], address: str, folder: Path) -> str:
    """What the blocks print, one after another in one shell, in a copy of the examples."""
    copy_examples(folder)
    script = "\n".join(blocks).replace("http://127.0.0.1:8000", address)
    assert address in script
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_quickstart_works_as_pasted(address: str, tmp_path: Path) -> None:
    said = run_as_pasted(shell_blocks(DOCS / "quickstart.md", "sh"), address, tmp_path)
    assert said.count('"shots":[{"id"') == 3
    assert '"label":"shoe"' in said
    assert '"status":"succeeded"' in said
    assert '"neighbours"' in said


def test_the_lines_of_the_readme_about_the_service_work_as_pasted(address: str, tmp_path: Path) -> None:
    said = run_as_pasted(shell_blocks(ROOT / "README.md", "bash"), address, tmp_path)
    assert '"predictions"' in said


@pytest.mark.parametrize("page", ["client.md", "library.md"])
def test_python_of_a_page_runs_as_pasted(page: str, address: str, tmp_path: Path) -> None:
    copy_examples(tmp_path)
    blocks = python_blocks(DOCS / page)
    assert blocks
    for block in blocks:
        code = block.replace("http://127.0.0.1:8000", address)
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_generated_parts_of_the_docs_are_as_they_would_be_written() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generated_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "build" / "docs").rglob("*.html"))
    assert len(pages) >= len(list(DOCS.rglob("*.md")))
    for page in pages:
        loaded = re.findall(
            r'<(?:script|link|img|iframe)[^>]+(?:src|href)="?(https?://[^" >]+)', page.read_text("utf-8")
        )
        assert not loaded, page


def test_every_page_is_in_the_navigation() -> None:
    said = (ROOT / "zensical.toml").read_text("utf-8")
    missing = [page.name for page in DOCS.glob("*.md") if f'"{page.name}"' not in said]
    assert not missing
