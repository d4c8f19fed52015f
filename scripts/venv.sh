#!/bin/sh
# Make a virtual environment with the newest Python at hand: sh scripts/venv.sh FOLDER
set -eu

folder=$1

for python in python3.14 python3.13 python3.12 python3.11 python3; do
    # Run it: a name on the path may be a launcher of a Python that is not there.
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        break
    fi
    python=
done
if [ -z "$python" ]; then
    echo "Handful needs Python 3.11 or newer, and none of python3.14 … python3.11, python3 is one." >&2
    echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) and run this again." >&2
    exit 1
fi

# Debian has venv without ensurepip, which is in a package of its own.
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    version=$("$python" -c 'import sys; print(f"{sys.version_info.major}.{sys.version_info.minor}")')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get install --yes --quiet "python$version-venv" || {
            apt-get update --quiet && apt-get install --yes --quiet "python$version-venv"
        }
    else
        echo "$python has no venv; install it (Debian, Ubuntu: sudo apt-get install python$version-venv)." >&2
        exit 1
    fi
fi

echo "Making $folder with $("$python" --version)."
"$python" -m venv "$folder"
