#!/bin/sh
# Install a Debian package that tests want, when root: sh scripts/debian.sh PACKAGE COMMAND. Without it they skip.
set -eu

package=$1
command=$2

if command -v "$command" >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get install --yes --quiet --no-install-recommends "$package" || {
        apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends "$package"
    }
else
    echo "$command is not here, and what needs it is left out; to have it: sudo apt-get install $package" >&2
fi
