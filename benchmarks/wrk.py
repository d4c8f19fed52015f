"""Load on a URL by wrk, a client in C (https://github.com/wg/wrk): it takes little of the cores it shares."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
local requests, at = {}, 0
function init(args)
  local headers = {["Content-Type"] = args[1]}
  for name in io.lines(args[2]) do
    local file = io.open(name, "rb")
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format('\\nRESULT {"requests": %d, "seconds": %f, "failed": %d, ' ..
    '"p50": %f, "p95": %f, "p99": %f}\\n', summary.requests, summary.duration / 1e6,
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it.    failed : requests not answered by 2xx or 3xx.    p50, p95, p99 : milliseconds."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p95: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def available() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def load(url: str, bodies: Sequence[bytes], media_type: str, *, clients: int, seconds: float) -> Load:
    """POST the bodies in turn by so many clients, each of which waits for its answer.

    Raises SystemExit where a request failed: figures of errors are not figures of the service.
    """
    with tempfile.TemporaryDirectory(prefix="handful-wrk-") as made:
        folder = Path(made)
        names = []
        for at, body in enumerate(bodies):
            names.append(folder / f"{at}.body")
            names[-1].write_bytes(body)
        (folder / "names").write_text("".join(f"{name}\n" for name in names))
        (folder / "post.lua").write_text(_SCRIPT)
        command = ["wrk", "--threads", "1", "--connections", str(clients), "--timeout", "60s"]
        command += ["--duration", f"{max(1, round(seconds))}s", "--script", str(folder / "post.lua"), url]
        said = subprocess.run(
            [*command, "--", media_type, str(folder / "names")], capture_output=True, text=True, check=True
        ).stdout
    _, _, result = said.partition("RESULT ")
    found = Load(**json.loads(result))
    if found.failed or not found.requests:
        raise SystemExit(f"{found.failed} of {found.requests} requests to {url} failed:\n{said}")
    return found
