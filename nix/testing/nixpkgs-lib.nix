# Test double: `lib` as flake.nix gets it. A system is options evaluated with those of host-options.nix; as in NixOS its
# toplevel cannot be had while an assertion fails.
let
  lib = import ./option-modules.nix;
in
lib // {
  nixosSystem = { modules, system ? "x86_64-linux", specialArgs ? { } }:
    let
      pkgs = import ./packages.nix;
      evaluated = lib.evalModules {
        modules = [ ./host-options.nix { nix.package = pkgs.nix; } ] ++ modules;
        specialArgs = { inherit pkgs; } // specialArgs;
      };
      inherit (evaluated) config options;
      failed = map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
      toplevel = pkgs.writeText "system-of-${config.networking.hostName}" (builtins.toJSON config.units);
    in
    {
      inherit options;
      config = config // {
        system = config.system // {
          build.toplevel =
            if failed == [ ] then toplevel
            else throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (text: "- ${text}") failed}";
        };
      };
    };
}
