# What `npm test`, `npm run demo` and `npm run cluster` use on hosts that are not Debian: set-up finds these and
# installs nothing. For the development shell and for the cluster program.
pkgs: with pkgs; [
  nodejs_24
  bash
  chromium
  conntrack-tools
  cpio
  curl
  dnsmasq
  e2fsprogs
  git
  iproute2
  iputils
  kmod
  nftables
  nix
  openssl
  perl
  procps
  qemu
  redis
  sqlite
  util-linux
  valkey
  # Last: its programs must not be found instead of those above. Static: guests get it without libraries.
  pkgsStatic.busybox
]
