# The development shell: nix develop, or nix-shell nix/shell.nix.
{ pkgs ? import <nixpkgs> { } }:
pkgs.mkShell { packages = import ./tools.nix pkgs; }
