# The third-party packages of package-lock.json that the installed programs need, as a list of { path, tarball }. The
# lock names no download hosts: addresses follow from name and version, and integrity pins the content. Left out:
# development tools, workspaces, and packages built for another system (those carry no integrity or other cpu/os).
{ lib, fetchurl, lockFile }:
let
  lock = builtins.fromJSON (builtins.readFile lockFile);

  fits = entry:
    !(entry.dev or false)
    && !(entry.link or false)
    && entry ? integrity
    && builtins.elem "linux" (entry.os or [ "linux" ])
    && builtins.elem "x64" (entry.cpu or [ "x64" ])
    && builtins.elem "glibc" (entry.libc or [ "glibc" ]);

  # node_modules/a/node_modules/@scope/b -> @scope/b
  nameOf = path: lib.last (lib.splitString "node_modules/" path);

  fetch = path: entry:
    let
      name = entry.name or (nameOf path);
      base = lib.last (lib.splitString "/" name);
    in
    {
      inherit path;
      tarball = fetchurl {
        url = "mirror://npm/${name}/-/${base}-${entry.version}.tgz";
        hash = entry.integrity;
      };
    };

  wanted = lib.filterAttrs (path: entry: lib.hasInfix "node_modules/" path && fits entry) lock.packages;
in
lib.mapAttrsToList fetch wanted
