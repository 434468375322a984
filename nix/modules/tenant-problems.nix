# What is wrong between the fields and objects of a declaration: a list of texts, each with the path of its option
# first, so that an evaluation shows all of them at once. Types have judged single values before. What only the cluster
# knows (quotas, addresses in use) is not judged here.
{ lib, addresses }:
let
  inherit (lib) concatLists mapAttrsToList optional;
  rules = import ./problem-rules.nix { inherit lib addresses; };
  ofNetworks = import ./network-problems.nix { inherit lib addresses rules; };
  ofPorts = import ./port-problems.nix { inherit lib addresses rules; };
  ofRules = import ./rule-problems.nix { inherit lib addresses rules; };
  ofRouting = import ./routing-problems.nix { inherit lib addresses rules; };
  ofGuests = import ./guest-problems.nix { inherit lib addresses rules; };

  tenantProblems = cfg: name: tenant:
    let
      facts = rules.factsOf cfg name tenant;
      path = "services.photoncloud.tenants.${name}";
    in
    optional (name == "system") "${path}: tenant system is reserved; choose another name"
    ++ ofNetworks.problems path facts
    ++ ofPorts.problems path facts
    ++ ofRules.problems path facts
    ++ ofRouting.problems path facts
    ++ ofGuests.problems path facts;
in
cfg:
ofRouting.externalProblems cfg
++ concatLists (mapAttrsToList (tenantProblems cfg) cfg.tenants)
