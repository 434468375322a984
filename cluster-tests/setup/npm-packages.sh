# The npm packages of package-lock.json. Sourced by run.sh, under its lock, when `node` is known.
# The digest of the lock stands inside node_modules, so that a removed or half-made folder is noticed.

ensure_npm_packages() {
  digest=$(cksum < "$top/package-lock.json")
  stamp=$top/node_modules/.lock-digest
  [ "$(cat "$stamp" 2>/dev/null)" != "$digest" ] || return 0
  say "installing the npm packages of package-lock.json"
  (cd "$top" && PATH=$(dirname "$node"):$PATH npm ci --no-audit --no-fund --loglevel=error) \
    >"$cache/npm-packages.log" 2>&1 || {
    tail -n 15 "$cache/npm-packages.log" >&2
    stop_with "npm ci failed (its last lines above, all in .cache/npm-packages.log)." \
      "Check the network and npm's registry, then run this again."
  }
  printf '%s\n' "$digest" > "$stamp"
}
