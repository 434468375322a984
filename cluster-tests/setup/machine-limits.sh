# Finds out what this machine cannot do. Sourced by run.sh. Sets `limit` to the reason, or leaves it empty.
# Promise: nobody meets a raw permission error of the kernel; they read what is missing and what still runs.

find_limit() {
  if [ "$(uname -s)" != Linux ]; then
    limit="namespaces, taps and QEMU need Linux, and this is $(uname -s)"
  elif [ "$(uname -m)" != x86_64 ]; then
    limit="guests are built for x86_64, and this is $(uname -m)"
  elif [ "$(id -u)" != 0 ]; then
    limit="network namespaces need root, and this is $(id -un)"
  elif ! unshare -nm true 2>/dev/null; then
    limit="this root may not make network and mount namespaces; a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN"
  elif [ ! -c /dev/net/tun ]; then
    limit="there is no /dev/net/tun; load the module with: modprobe tun"
  elif ! on_debian; then
    find_missing_programs
  fi
}

on_debian() {
  [ -r /etc/os-release ] && command -v apt-get >/dev/null 2>&1 && (. /etc/os-release && [ "$ID" = debian ])
}

# Elsewhere (NixOS, Fedora...) the programs are the user's business; set-up only looks.
find_missing_programs() {
  for program in redis-server dnsmasq nft ip busybox sqlite3 openssl mkfs.ext4 conntrack cpio curl qemu-img \
    qemu-system-x86_64; do
    command -v "$program" >/dev/null 2>&1 && continue
    limit="${limit:-missing programs, which set-up installs on Debian only:} $program"
  done
}
