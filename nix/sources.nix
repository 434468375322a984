# The sources of a package: the files below its roots in nix/source-roots.json, the one list of them, which the audit
# (npm run audit:sources) reads, too. A root that does not exist is an error, and `actors` does not take `actors-x`
# along.
name:
let
  inherit (builtins) any filter pathExists stringLength substring;
  package = (builtins.fromJSON (builtins.readFile ./source-roots.json)).packages.${name};
  top = toString ../.;
  startsWith = prefix: text: substring 0 (stringLength prefix) text == prefix;
  endsWith = suffix: text:
    stringLength text >= stringLength suffix
    && substring (stringLength text - stringLength suffix) (-1) text == suffix;

  missing = filter (root: !(pathExists (../. + "/${root}"))) package.roots;
  relativeOf = path: substring (stringLength top + 1) (-1) path;
  # Inside a root, or a folder around one.
  isWanted = path: any (root: path == root || startsWith "${root}/" path || startsWith "${path}/" root) package.roots;
  isLeftOut = path:
    baseNameOf path == "node_modules" || baseNameOf path == ".cache"
    || any (suffix: endsWith suffix path) package.without;
in
if missing != [ ] then
  throw "nix/source-roots.json: package ${name} has roots that do not exist: ${builtins.concatStringsSep ", " missing}"
else builtins.path {
  path = ../.;
  name = "${name}-sources";
  filter = path: _: let relative = relativeOf path; in isWanted relative && !(isLeftOut relative);
}
