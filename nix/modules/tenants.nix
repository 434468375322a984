# services.photoncloud.tenants and what operators declare for all of them, as options; and what comes out: the documents
# for `photon apply`, and the problems of the declaration as texts. Needs no packages, so that hosts, VM tests and
# flake outputs evaluate the same.
{ config, lib, ... }:
let
  inherit (lib) concatLists concatMap filter mapAttrsToList mkOption types;
  documents = import ./document-options.nix { inherit lib; };
  addresses = import ../addresses.nix;
  cfg = config.services.photoncloud;

  # service-ip -> serviceIPs; address-set -> addressSets
  plurals = { "service-ip" = "serviceIPs"; "external-address" = "externalAddresses"; };
  capital = word: lib.toUpper (builtins.substring 0 1 word) + builtins.substring 1 (-1) word;
  sectionOf = kind:
    let words = lib.splitString "-" kind;
    in plurals.${kind} or ((lib.head words) + lib.concatMapStrings capital (lib.tail words) + "s");

  tenantKind = lib.head (filter (kind: kind.isTenant) documents.kinds);
  tenantKinds = filter (kind: !kind.isTenant && !kind.isOfSystem) documents.kinds;
  systemKinds = filter (kind: kind.isOfSystem) documents.kinds;

  exampleName = {
    "address-set" = "office"; deployment = "web"; "external-address" = "page"; "external-network" = "internet"; image = "debian";
    network = "front"; port = "probe"; peering = "both"; router = "edge"; "security-group" = "web";
    "service-ip" = "page"; rollout = "november";
    snapshot = "before"; vm = "web-1"; volume = "web-root"; vpc = "lab";
  };
  section = kind: {
    name = sectionOf kind.kind;
    value = mkOption {
      type = types.attrsOf (types.submodule { inherit (kind) options; });
      default = { };
      description = "Objects of kind ${kind.kind}, by name. A new name is a new object.";
      example = { ${exampleName.${kind.kind} or "main"} = kind.example; };
    };
  };
  sections = kinds: lib.listToAttrs (map section kinds);

  objectsOf = kinds: tenant: set:
    concatMap (kind: mapAttrsToList (documents.documentOf kind tenant) set.${sectionOf kind.kind}) kinds;

  # All tenants first, then kind by kind, as `photon apply` makes them.
  allDocuments =
    concatMap (kind: mapAttrsToList (documents.documentOf kind "system") cfg.${sectionOf kind.kind}) systemKinds
    ++ mapAttrsToList (name: tenant: removeAttrs (documents.documentOf tenantKind null name tenant) [ "tenant" ])
      cfg.tenants
    ++ concatLists (mapAttrsToList (objectsOf tenantKinds) cfg.tenants);

  nameProblems = path: kind: set: concatMap
    (name: lib.optional (builtins.match kind.namePattern name == null)
      "${path}.${name}: is no name: a small letter, then small letters, digits and dashes, 40 in all")
    (lib.attrNames set);
  namesOf = path: kinds: set:
    concatMap (kind: nameProblems "${path}.${sectionOf kind.kind}" kind set.${sectionOf kind.kind}) kinds;

  problemsOf = import ./tenant-problems.nix { inherit lib addresses; };
  root = "services.photoncloud";
in
{
  options.services.photoncloud = sections systemKinds // {
    tenants = mkOption {
      type = types.attrsOf (types.submodule { options = tenantKind.options // sections tenantKinds; });
      default = { };
      description = "Tenants by name, each with the objects it has.";
      example = lib.literalExpression ''
        {
          acme = {
            networks.front.subnets = [{ cidr = "10.20.0.0/24"; }];
            vms.web-1.nics = [{ network = "front"; }];
          };
        }'';
    };
    allowUserDataInStore = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether `vms.<name>.seed.userData` may be declared in Nix. Everybody on the host can read the Nix store, so set
        this only when no user data holds a secret.'';
    };
    documents = mkOption {
      type = types.listOf (types.attrsOf types.anything);
      readOnly = true;
      internal = true;
      description = "The documents of `photon apply` that the options make.";
      example = [ ];
    };
    problems = mkOption {
      type = types.listOf types.str;
      internal = true;
      default = [ ];
      description = "What is wrong with the declaration, a text for each problem with the path of its option.";
      example = [ ];
    };
  };

  config.services.photoncloud = {
    documents = allDocuments;
    problems =
      nameProblems "${root}.tenants" tenantKind cfg.tenants
      ++ namesOf root systemKinds cfg
      ++ concatLists (mapAttrsToList (name: namesOf "${root}.tenants.${name}" tenantKinds) cfg.tenants)
      ++ problemsOf cfg;
  };
}
