"""Ask the service in this container whether it is ready: exit 0 where it is, 1 where it is not.

The image has no curl. Reads the port, and whether HTTPS is spoken, from the variables that the service reads.
"""

import os
import ssl
import sys
from urllib.error import URLError
from urllib.request import urlopen

_SECONDS = 4


def main() -> int:
    tls = "HANDFUL_TLS_CERTIFICATE" in os.environ
    address = f"{'https' if tls else 'http'}://127.0.0.1:{os.environ.get('HANDFUL_PORT', '8000')}/readyz"
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
