# VMs, volumes, images, snapshots: what they name, and what must not stand in the Nix store.
{ lib, addresses, rules }:
let
  inherit (lib) concatLists concatMap mapAttrsToList optional;
  inherit (rules) exactlyOne indexed twice unknown unknownHost;

  imageProblems = path: { tenant, ... }: formats: name:
    let found = tenant.images.${name} or null;
    in if name == null then [ ]
    else if found == null then unknown path "image" (lib.attrNames tenant.images) name
    else optional (!(lib.elem found.format formats))
      "${path}: image ${name} is of format ${found.format}; it must be ${lib.concatStringsSep " or " formats}";

  vmProblems = tenantPath: facts: name: vm:
    let path = "${tenantPath}.vms.${name}";
    in
    unknownHost "${path}.host" facts vm.host
    ++ optional (vm.boot == null && vm.disks == [ ]) "${path}: has nothing to boot: give it a disk, or boot"
    ++ concatMap
      ({ at, value }: unknown "${path}.disks.${toString at}.volume" "volume" (lib.attrNames facts.tenant.volumes)
        value.volume)
      (indexed vm.disks)
    ++ twice (one: _: "${one.key} is the name of an earlier NIC, too")
      (map ({ at, value }: { path = "${path}.nics.${toString at}.name"; key = value.name; }) (indexed vm.nics))
    ++ (if vm.boot == null then [ ] else
      imageProblems "${path}.boot.kernel" facts [ "kernel" ] vm.boot.kernel
      ++ imageProblems "${path}.boot.initrd" facts [ "initrd" ] vm.boot.initrd)
    ++ optional (vm.seed.userData != null && !facts.allowUserDataInStore)
      ("${path}.seed.userData: everybody on the host could read it in the Nix store; declare it with photon apply, "
        + "or set services.photoncloud.allowUserDataInStore when it holds no secret");

  sourceProblems = tenantPath: facts: name: image:
    let path = "${tenantPath}.images.${name}";
    in
    unknownHost "${path}.host" facts image.host
    ++ exactlyOne "${path}.source" image.source [ "path" "url" "upload" ]
    ++ optional (image.source.path == null && image.sha256 == null)
      "${path}.sha256: is required for bytes that come over a network";

  # One VM at a time has a volume, so two that are to run cannot.
  disksOf = tenantPath: { tenant, ... }: concatMap
    (vm: lib.optionals tenant.vms.${vm}.running (map
      ({ at, value }: { path = "${tenantPath}.vms.${vm}.disks.${toString at}.volume"; key = value.volume; })
      (indexed tenant.vms.${vm}.disks)))
    (lib.attrNames tenant.vms);
in
{
  problems = path: facts:
    concatLists (mapAttrsToList (vmProblems path facts) facts.tenant.vms)
    ++ twice (one: earlier: "${one.key} is the disk of ${earlier.path}, too") (disksOf path facts)
    ++ concatLists (mapAttrsToList (sourceProblems path facts) facts.tenant.images)
    ++ concatLists (mapAttrsToList
      (name: volume: imageProblems "${path}.volumes.${name}.image" facts [ "raw" "qcow2" ] volume.image)
      facts.tenant.volumes)
    ++ concatLists (mapAttrsToList
      (name: snapshot: unknown "${path}.snapshots.${name}.volume" "volume" (lib.attrNames facts.tenant.volumes)
        snapshot.volume)
      facts.tenant.snapshots);
}
