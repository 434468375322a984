#!/bin/sh
# Sets this checkout up, then runs an entry on Node 24: sh cluster-tests/setup/run.sh <needs> <entry.ts> [arguments]
#   needs: node    Node 24 and npm packages (command line tools)
#          kernel  also Debian packages, QEMU and the guest kernel; stops where they cannot be had
#          most    as kernel, but goes on with what still can run (npm test)
# Not a build: sources run as they are. Called by the scripts of package.json, on a machine that may have git, Node 20
# and npm only. Promise: says what it does, does nothing the second time, and two at once in one checkout wait for each
# other.
set -u

needs=$1
entry=$2
shift 2
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cache=$top/.cache
private=$cache/apt
limit=

say() { printf 'set-up: %s\n' "$*" >&2; }
stop_with() {
  printf 'set-up: %s\n' "$@" >&2
  exit 1
}

setup=$top/cluster-tests/setup
. "$setup/machine-limits.sh"
. "$setup/debian-packages.sh"
. "$setup/node-runtime.sh"
. "$setup/npm-packages.sh"
. "$setup/unpacked-packages.sh"
. "$setup/toolchain-record.sh"

mkdir -p "$cache" 2>/dev/null
[ -w "$cache" ] || stop_with "$cache cannot be written by $(id -un)." "Remove it or run as the user who owns it."
# One set-up at a time; the lock falls with this shell, and no program it starts inherits it.
if command -v flock >/dev/null 2>&1; then
  exec 9>>"$cache/set-up.lock"
  flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }
fi
rm -rf "$cache"/*.partial

[ "$needs" = node ] || find_limit
if [ -n "$limit" ]; then
  [ "$needs" = most ] || stop_with "$entry cannot run here: $limit" \
    "What still runs here: npm test (types, lint, dead code, tidy, the unit tests that need no root)."
  say "cannot run here: real-kernel tests, demo, cluster, bench ($limit)"
  say "still runs: types, lint, dead code, tidy, the unit tests that need no root"
fi
[ "$needs" = node ] || [ -n "$limit" ] || ensure_debian_packages
ensure_node
ensure_npm_packages
if [ "$needs" != node ]; then
  qemu_binary= valkey_binary=
  [ -n "$limit" ] || { ensure_qemu; ensure_guest_kernel; ensure_valkey; ensure_cloud_init; ensure_guest_agent; }
  record_toolchain
fi

[ -z "${private_lists_fresh:-}" ] || rm -rf "$private"
exec 9>&-
PATH=$(dirname "$node"):$PATH
# What runs from here are many programs of the same sources: Node keeps what it compiled.
NODE_COMPILE_CACHE=$cache/compiled
export PATH NODE_COMPILE_CACHE
exec "$node" "$top/$entry" "$@"
