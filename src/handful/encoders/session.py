"""ONNX Runtime sessions: threads, devices and memory in one place."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from handful.errors import EncoderError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_QUIET = 3  # of ONNX Runtime's log severities: errors


def onnx_runtime() -> ModuleType:
    """The package onnxruntime, told not to report its use to its makers.

    Releases that report begin when they are imported, so that its own function for this comes too late.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # here, so that importing handful does not load it

    return onnxruntime  # type: ignore[no-any-return] # it has no types


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How a tower runs."""

    threads: int | None = None  # within an operator; None: one per core
    providers: tuple[str, ...] = ("CPUExecutionProvider",)  # devices, the first that can takes a node


def open_session(model: bytes | Path, options: SessionOptions, *, name: str) -> "InferenceSession":
    """A session over the ONNX graph in `model`, or in that file; `name` is for messages.

    Raises EncoderError where the graph cannot be read, or a provider is not in this ONNX Runtime.
    """
    onnxruntime = onnx_runtime()
    available = onnxruntime.get_available_providers()
    missing = [provider for provider in options.providers if provider not in available]
    if missing:
        raise EncoderError(
            f"this ONNX Runtime has no {missing[0]}; it has {', '.join(available)}: "
            "set HANDFUL_ENCODER_PROVIDERS to one of them, or install the build of onnxruntime that has it"
        )
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _QUIET
    settings.intra_op_num_threads = options.threads or 0
    # Waiting threads must not spin: the cores are needed for decoding the next pictures.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), settings, providers=list(options.providers)
        )
    except Exception as exc:  # ONNX Runtime's errors have no common base of their own
        raise EncoderError(f"{name} is no graph that ONNX Runtime can run: {exc}") from exc
    # A provider whose libraries cannot be loaded is left out by ONNX Runtime without a word.
    left_out = [provider for provider in options.providers if provider not in session.get_providers()]
    if left_out:
        raise EncoderError(
            f"ONNX Runtime could not start {left_out[0]} for {name}; install the libraries and driver that "
            "it needs, or set HANDFUL_ENCODER_PROVIDERS=CPUExecutionProvider"
        )
    return session
