#!/bin/sh
# PgBouncer's configuration knows no variables: the server that SERVER names is written into it.
set -eu
: "${SERVER:?names the PostgreSQL server}"
{
  cat /etc/waybill/pgbouncer.ini
  echo "listen_addr = 0.0.0.0"
  echo "listen_port = 6432"
  echo "auth_file = /etc/waybill/users.txt"
  echo "[databases]"
  echo "* = host=$SERVER port=5432 auth_user=postgres"
} > /tmp/pgbouncer.ini
exec pgbouncer /tmp/pgbouncer.ini
