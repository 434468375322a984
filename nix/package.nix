# photoncloud as it runs on a host: sources and third-party packages below $out/share/photoncloud (Node runs the .ts
# files as they are, which it does not under node_modules), and $out/bin/photon with the programs it starts on its PATH.
# Cluster tests are not in it.
{ lib, stdenvNoCC, fetchurl, makeWrapper, nodejs_24, bash, conntrack-tools, coreutils, dnsmasq, e2fsprogs, iproute2
, iputils, kmod, nftables, openssl, perl, procps, qemu, redis, util-linux }:
let
  manifest = builtins.fromJSON (builtins.readFile ../package.json);
  rooms = [ "actors" "machines" "runtime" ];
  npmPackages = import ./npm-packages.nix { inherit lib fetchurl; lockFile = ../package-lock.json; };
  programs = [
    bash conntrack-tools coreutils dnsmasq e2fsprogs iproute2 iputils kmod nftables openssl perl procps qemu redis
    util-linux
  ];
  # Programs of the dataplane get this PATH and nothing else of the environment; the folders of Debian are not there
  # here.
  debianPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  unpack = entry: ''
    mkdir -p "$share/${entry.path}"
    tar -xzf ${entry.tarball} -C "$share/${entry.path}" --strip-components=1
  '';
  link = room: ''
    ln -s ../../${room} "$share/node_modules/@photoncloud/${room}"
  '';
in
stdenvNoCC.mkDerivation {
  pname = manifest.name;
  version = manifest.version;

  src = import ./sources.nix "photoncloud";

  nativeBuildInputs = [ makeWrapper ];
  dontConfigure = true;
  dontBuild = true;

  installPhase = ''
    runHook preInstall
    share=$out/share/photoncloud
    mkdir -p "$share/node_modules/@photoncloud"
    cp -r ${lib.concatStringsSep " " rooms} package.json LICENSE "$share/"
    ${lib.concatMapStrings unpack npmPackages}
    ${lib.concatMapStrings link rooms}
    substituteInPlace "$share/actors/dataplane/program.ts" \
      --replace-fail "'${debianPath}'" "'${lib.makeBinPath programs}'"
    makeWrapper ${nodejs_24}/bin/node "$out/bin/photon" \
      --add-flags "${manifest.config.nodeFlags} $share/actors/photon/photon-main.ts" \
      --prefix PATH : ${lib.makeBinPath programs}
    runHook postInstall
  '';

  # The rooms name each other through links, and every one must lead somewhere.
  doInstallCheck = true;
  installCheckPhase = ''
    test -z "$(find "$out" -xtype l)"
    test "$("$out/bin/photon" --version)" = ${manifest.version}
  '';

  meta = {
    inherit (manifest) description;
    license = lib.licenses.asl20;
    platforms = [ "x86_64-linux" ];
    mainProgram = "photon";
  };
}
