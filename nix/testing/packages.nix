# Test double: the packages and builders of nixpkgs that nix/ uses. Packages are derivations of an empty folder, which
# /bin/sh of the machine can build; what is written by our own text (programs, files) has that text.
let
  inherit (builtins) listToAttrs;
  lib = import ./option-modules.nix;

  derive = name: script: attributes: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-ec" script ];
  } // attributes);
  empty = name: derive name "mkdir -p $out/bin" { };

  named = listToAttrs (map (name: { inherit name; value = empty name; }) [
    "bash" "chromium" "conntrack-tools" "coreutils" "cpio" "curl" "dnsmasq" "e2fsprogs" "git" "iproute2"
    "iputils" "kmod" "makeWrapper" "nftables" "nix" "nixfmt-tree" "nodejs_24" "openssl" "perl" "procps" "qemu" "redis"
    "sqlite" "util-linux" "valkey"
  ]);

  pkgs = named // {
    inherit lib;
    pkgsStatic.busybox = empty "busybox-static";
    fetchurl = { url, hash }: empty (builtins.baseNameOf url) // { inherit url hash; };
    # Not built: only what is asked for can be looked at.
    stdenvNoCC.mkDerivation = attributes:
      derive "${attributes.pname}-${attributes.version}" "echo 'a test double builds no package' >&2; exit 1" { }
      // attributes;
    mkShell = { packages }: empty "shell" // { inherit packages; };
    writeText = name: text: derive name ''printf %s "$text" > $out'' { inherit text; };
    writeShellApplication = { name, runtimeInputs ? [ ], text }:
      derive name ''mkdir -p $out/bin; printf %s "$script" > $out/bin/${name}; chmod 755 $out/bin/${name}'' {
        script = "#!/bin/sh\nset -eu\nPATH=${lib.makeBinPath runtimeInputs}:$PATH\n${text}";
      };
    runCommand = name: attributes: script: derive name script attributes;
    # Evaluates the nodes, and runs nothing.
    testers.runNixOSTest = { name, nodes, testScript }:
      let
        inherit (import ./nixpkgs-lib.nix) nixosSystem;
        systems = builtins.mapAttrs (_: module: nixosSystem { modules = [ module ]; }) nodes;
      in derive "vm-test-run-${name}" "exit 1" {
        inherit testScript;
        systems = map (node: systems.${node}.config.system.build.toplevel) (builtins.attrNames nodes);
      };
    # As in nixpkgs: a function's arguments by their names.
    callPackage = path: overrides:
      let function = import path;
      in function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // overrides);
  };
in
pkgs
