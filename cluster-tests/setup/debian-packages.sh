# Debian packages that nodes, guests and tests use. Sourced by run.sh, as root, under its lock.
# Not the place for QEMU and the guest kernel: those are unpacked, not installed (unpacked-packages.sh).
# Promise: no service is started on this machine, and nothing is asked of apt when all is there.

debian_packages="redis-server dnsmasq-base nftables iproute2 busybox-static sqlite3 chromium openssl e2fsprogs
  conntrack cpio curl iputils-ping qemu-utils perl procps kmod util-linux ca-certificates python3 nix-bin"

ensure_debian_packages() {
  on_debian || return 0
  missing=
  # shellcheck disable=SC2086 # a list of names
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $debian_packages 2>/dev/null \
    | sed -n 's/ installed$//p')
  for package in $debian_packages; do
    case "
$installed
" in *"
$package
"*) ;; *) missing="$missing $package" ;; esac
  done
  [ -n "$missing" ] || return 0
  say "installing Debian packages:$missing"
  refresh_host_lists
  keep_redis_from_starting
  # shellcheck disable=SC2086
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 $missing >"$cache/debian-packages.log" 2>&1
  installed_well=$?
  let_redis_be_started
  [ "$installed_well" = 0 ] || {
    tail -n 15 "$cache/debian-packages.log" >&2
    stop_with "apt-get could not install:$missing (its last lines above, all in .cache/debian-packages.log)." \
      "Mend what apt names, then run this again."
  }
}

# apt waits for dpkg's lock but not for the lists': an unattended upgrade may hold them for a while.
refresh_host_lists() {
  tries=0
  until apt-get update -qq -o Acquire::Retries=3 >"$cache/debian-packages.log" 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -ge 60 ] || ! grep -q 'Could not get lock' "$cache/debian-packages.log"; then
      tail -n 15 "$cache/debian-packages.log" >&2
      stop_with "apt-get update failed (its last lines above)." "Check the network and /etc/apt, then run this again."
    fi
    sleep 2
  done
}

# RUNLEVEL=1 keeps sysv from starting it at once; systemd is told with a mask that goes again. Nor does it start at
# boot.
keep_redis_from_starting() {
  redis_is_new='' redis_masked=''
  case "$missing " in *" redis-server "*) redis_is_new=1 ;; *) return 0 ;; esac
  [ -d /run/systemd/system ] || return 0
  systemctl mask -q redis-server.service && redis_masked=1
}

let_redis_be_started() {
  [ -z "$redis_masked" ] || systemctl unmask -q redis-server.service
  [ -n "$redis_is_new" ] && [ "$installed_well" = 0 ] || return 0
  update-rc.d redis-server disable >/dev/null 2>&1 \
    || say "redis-server could not be kept from starting at boot; if you mind: update-rc.d redis-server disable"
}
