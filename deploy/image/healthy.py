"""Ask the service in this container whether it is ready: exit 0 where it is, 1 where it is not.

    python healthy.py         # the service, as its own variables say: its port, and whether it speaks HTTPS
    python healthy.py 9100    # a worker, on its HANDFUL_MONITOR_PORT

The image has no curl.
"""

import os
import ssl
import sys
from urllib.error import URLError
from urllib.request import urlopen

_SECONDS = 4


def main() -> int:
    monitor = sys.argv[1] if len(sys.argv) > 1 else None
    tls = monitor is None and "HANDFUL_TLS_CERTIFICATE" in os.environ
    port = monitor or os.environ.get("HANDFUL_PORT", "8000")
    address = f"{'https' if tls else 'http'}://127.0.0.1:{port}/readyz"
    # The certificate names the service's public address, not this one.
    context = ssl._create_unverified_context() if tls else None
    try:
        with urlopen(address, timeout=_SECONDS, context=context) as answer:
            print(answer.read().decode())
    except (URLError, OSError) as exc:
        print(f"{address}: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
