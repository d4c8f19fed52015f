#!/bin/sh
# Start all of compose.yaml, with whichever compose is here: sh scripts/up.sh [OPTION of compose up]…
set -eu
cd "$(dirname "$0")/.."

if docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    engine=docker compose='docker compose'
elif command -v podman-compose >/dev/null; then
    engine=podman compose=podman-compose
else
    echo "Neither \`docker compose\` with a running Docker nor podman-compose is here; install one of them." >&2
    exit 1
fi
image=handful:${HANDFUL_TAG:-latest}
if ! "$engine" image inspect "$image" >/dev/null 2>&1; then
    echo "$engine has no image $image; build it first: make image" >&2
    exit 1
fi

# The folder keeps other users of this machine out; the files are read by the users inside the containers.
secrets=deploy/secrets
mkdir -p "$secrets" && chmod 700 "$secrets"
for name in admin_key redis_password; do
    if [ ! -s "$secrets/$name" ]; then
        od -An -tx1 -N32 /dev/urandom | tr -d ' \n' > "$secrets/$name"
        chmod 444 "$secrets/$name"
        echo "made $secrets/$name"
    fi
done

$compose up --detach "$@"
echo "Handful answers on http://${HTTP_PORT:-127.0.0.1:8080} once \`$compose ps\` says healthy."
echo "The key of its administrator is in $secrets/admin_key."
