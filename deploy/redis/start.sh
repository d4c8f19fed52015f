#!/bin/sh
# Start Redis with the password in a file. It goes by standard input, so that no list of processes shows it.
set -eu
password=$(cat /run/secrets/redis_password)
exec redis-server - <<END
$(cat /etc/redis/redis.conf)
appendfsync ${REDIS_FSYNC:-everysec}
maxmemory ${REDIS_MAXMEMORY:-0}
requirepass "$password"
END
