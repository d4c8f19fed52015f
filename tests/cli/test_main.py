"""Manners of the command: streams, exit codes, errors, start-up."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import handful
from handful.adapters import METHODS
from handful.augment import POLICIES
from handful.errors import SupportError

HANDFUL = [sys.executable, "-c", "import sys; sys.argv[0] = 'handful'; from handful.cli import app; app()"]
COMMANDS = ["fit", "classify", "zero-shot", "add", "remove", "evaluate", "info"]


def shell(*arguments, **options):
    return subprocess.run([*HANDFUL, *arguments], capture_output=True, text=True, check=False, **options)


def test_help_loads_neither_onnx_runtime_nor_numpy():
    code = (
        "import sys; sys.argv = ['handful', '--help']; from handful.cli import app\n"
        "try: app()\n"
        "except SystemExit: print(sorted({'onnxruntime', 'numpy', 'PIL', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "zero-shot" in done.stdout


def test_the_version_is_the_packages(run):
    assert run("--version").stdout == f"handful {handful.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_options(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_arguments_is_misuse_and_shows_its_help(run, command):
    result = run(command)
    assert result.exit_code == 2
    assert f"handful {command}" in (result.stdout + result.stderr).replace("root ", "handful ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fly"], "No such command 'fly'"),
        (["--fly"], "No such option: --fly"),
        (["fit", "--fly"], "No such option: --fly"),
        (["classify", "model"], "Missing argument 'pictures'"),
        (["classify", "model", "a.jpg", "--top-k", "0"], "'--top-k'"),
    ],
)
def test_misuse_is_one_line_that_points_to_the_help(run, arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("handful: ")
    assert said in result.stderr
    assert result.stderr.rstrip().endswith("--help)")
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_traceback_wherever_it_stands(run):
    for arguments in (["--debug", "info", "nothing"], ["info", "nothing", "--debug"]):
        assert type(run(*arguments).exception).__name__ == "ModelError"
    assert run("info", "nothing").exit_code == 1


def test_after_two_dashes_debug_is_a_name(run, saved):
    result = run("classify", saved, "--", "--debug")
    assert result.exit_code == 1
    assert "there is no picture '--debug'" in result.stderr


def test_a_bug_is_called_a_bug(run, saved, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("of nothing\nby nothing")

    monkeypatch.setattr("handful.classifier.load", fail)
    result = run("info", saved)
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError: of nothing by nothing. This is a bug in Handful" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_cannot_be_written_is_named(run, waste, tmp_path):
    result = run("encoders", "profile", waste, "-o", tmp_path / "no" / "b.safetensors")
    assert result.exit_code == 1
    assert "No such file or directory; check the path and its permissions" in result.stderr
    assert str(tmp_path / "no") in result.stderr


def test_errors_of_the_library_keep_their_words(run, saved, monkeypatch):
    def fail(*args, **kwargs):
        raise SupportError("class 'dent' has no shot; add one")

    monkeypatch.setattr("handful.classifier.load", fail)
    assert run("info", saved).stderr == "handful: class 'dent' has no shot; add one\n"


def test_no_colour_reaches_a_pipe():
    done = shell("info", "nothing")
    assert "\x1b" not in done.stderr + done.stdout
    assert done.returncode == 1


def test_control_c_ends_quietly(waste):
    command = [*HANDFUL, "classify", str(waste), "-"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heeds_interrupts,
    ) as process:
        while not _reads_its_input(process.pid):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "handful: stopped\n")


def _heeds_interrupts():
    """Shells start what runs in the background with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _reads_its_input(pid):
    """Whether the process waits for standard input."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="utf-8") as file:
            return file.read().split()[:2] == ["0", "0x0"]
    except OSError:
        return False


def test_completion_is_offered(tmp_path):
    environment = {
        **os.environ,
        "_HANDFUL_COMPLETE": "complete_bash",
        "COMP_WORDS": "handful cl",
        "COMP_CWORD": "1",
    }
    assert "classify" in shell(env=environment).stdout


def test_the_help_names_every_method_and_policy(run):
    said = re.sub(r"[│\s]", "", run("fit", "--help").stdout)  # names may be wrapped at a hyphen
    assert [name for name in (*METHODS, *POLICIES) if name not in said] == []


def test_a_setting_that_is_wrong_in_the_environment_is_named():
    done = shell("serve", env={**os.environ, "HANDFUL_PORT": "abc"})
    assert done.returncode == 2
    assert "HANDFUL_PORT is 'abc'" in done.stderr
    assert done.stderr.count("\n") == 1
