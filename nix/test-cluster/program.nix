# The `cluster` program: `npm run cluster -- VERB` of a checkout, with everything on its PATH that set-up looks for. It
# needs a checkout that can be written (set-up keeps Node packages in .cache), so it runs in the one around the current
# folder, or in PHOTON_CHECKOUT.
{ pkgs }:
pkgs.writeShellApplication {
  name = "cluster";
  runtimeInputs = import ../tools.nix pkgs;
  text = builtins.readFile ./cluster.sh;
}
