# What nix/modules makes of the examples, the refusals and the declared hosts, for a comparison of two `lib`: the test
# double here and that of nixpkgs (PHOTON_NIXPKGS_LIB of nix-package.test.ts). Lists that modules merge come in an order
# of their own, so texts are sorted.
{ lib }:
let
  inherit (builtins) lessThan mapAttrs sort;
  refusals = import ./refusals.nix;
  pkgs = import ./packages.nix;
  problemsOf = declaration: sort lessThan (lib.evalModules {
    modules = [
      ../modules/tenants.nix
      ../modules/cluster.nix
      { services.photoncloud = refusals.base; }
      { services.photoncloud = declaration; }
    ];
  }).config.services.photoncloud.problems;
  unitsOf = host: (lib.evalModules {
    modules = [ ./host-options.nix host ];
    specialArgs = { inherit pkgs; };
  }).config.units;
in
{
  refusals = mapAttrs (_: one: problemsOf one.declaration) refusals.cases;
  examples = mapAttrs (_: import ./tenant-state.nix { inherit lib; }) (import ./tenant-examples.nix);
  hosts = mapAttrs (_: unitsOf) (import ../cluster).hosts;
}
