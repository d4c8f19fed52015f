"""handful keys: made, listed, changed, ended."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Run = Callable[..., Result]


def test_a_key_is_shown_once_and_only_its_digest_kept(run: Run, tmp_path: Path) -> None:
    made = run("keys", "create", "line 2", "--tenant", "plant", "--scope", "read", "--data", tmp_path)
    secret = made.stdout.strip()
    assert made.exit_code == 0
    assert re.fullmatch(r"hfl_[0-9a-f]+_[A-Za-z0-9_\-]{43}", secret)
    listed = run("keys", "list", "--data", tmp_path)
    assert secret not in listed.stdout
    assert secret.split("_", 2)[2].encode() not in (tmp_path / "store.sqlite").read_bytes()
    header, row = (line.split("\t") for line in listed.stdout.splitlines())
    assert header == ["id", "tenant", "name", "scopes", "created", "expires", "state"]
    assert (row[1], row[2], row[3], row[6]) == ("plant", "line 2", "read", "active")


def test_a_key_is_rotated_and_revoked(run: Run, tmp_path: Path) -> None:
    made = json.loads(run("keys", "create", "x", "--json", "--data", tmp_path).stdout)
    rotated = json.loads(run("keys", "rotate", made["id"], "--json", "--data", tmp_path).stdout)
    assert rotated["id"] == made["id"]
    assert rotated["secret"] != made["secret"]
    refused = run("keys", "revoke", made["id"], "--data", tmp_path)
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert run("keys", "revoke", made["id"], "--yes", "--data", tmp_path).exit_code == 0
    (listed,) = json.loads(run("keys", "list", "--json", "--data", tmp_path).stdout)["items"]
    assert listed["state"] == "revoked"
    again = run("keys", "rotate", made["id"], "--data", tmp_path)
    assert (again.exit_code, "revoked" in again.stderr) == (1, True)


def test_another_folder_than_meant_shows(run: Run, tmp_path: Path) -> None:
    made = run("keys", "create", "x", "--data", tmp_path / "made")
    assert str(tmp_path / "made") in made.stderr.replace("\n", "")
    nothing = run("keys", "list", "--data", tmp_path / "other")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "there is no store in" in nothing.stderr
    assert not (tmp_path / "other").exists()


def test_what_makes_no_key_is_said(run: Run, tmp_path: Path) -> None:
    for arguments, said in (
        (["x", "--scope", "root"], "read, write, admin"),
        (["x", "--tenant", "../other"], "tenant"),
        (["a/b"], "name"),
    ):
        refused = run("keys", "create", *arguments, "--data", tmp_path)
        assert refused.exit_code == 1
        assert said in refused.stderr
    run("keys", "create", "x", "--data", tmp_path)
    unknown = run("keys", "revoke", "nobody", "--yes", "--data", tmp_path)
    assert (unknown.exit_code, "nobody" in unknown.stderr) == (1, True)
