# What `npm test` and `npm run demo` use, for hosts that are not Debian: set-up finds these and installs nothing.
{ pkgs ? import <nixpkgs> { } }:
pkgs.mkShell {
  packages = with pkgs; [
    nodejs_24
    git
    redis
    valkey
    dnsmasq
    nftables
    iproute2
    qemu
    busybox
    sqlite
    chromium
    openssl
    e2fsprogs
    conntrack-tools
    cpio
    curl
    perl
    nix
  ];
}
