# What the units of a host share: the package, the folders of its nodes, the user of unprivileged programs, and the
# problems of the declaration, which stop an evaluation with all of them.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkDefault mkIf mkOption types;
  cfg = config.services.photoncloud;
  enabled = lib.filter (role: cfg.${role}.enable) [ "store" "controller" "worker" "deployer" "nixAgent" ];
  listenersOf = role: ports: lib.optionals cfg.${role}.enable (map
    (port: { inherit port; at = "${toString (cfg.${role}.address or node.address)}:${toString port}"; })
    ports);
  listeners =
    listenersOf "store" ([ cfg.store.listenPort ] ++ lib.optional cfg.store.hasReplicas cfg.store.sentinelListenPort)
    ++ listenersOf "controller" [ cfg.controller.peerListenPort cfg.controller.apiListenPort ]
    ++ listenersOf "worker" [ cfg.worker.peerListenPort ];
  listenPorts = lib.unique (map (one: one.port) listeners);
  takenTwice = lib.unique (lib.filter
    (at: lib.length (lib.filter (one: one.at == at) listeners) > 1)
    (map (one: one.at) listeners));
  isUnprivileged = cfg.store.enable || cfg.controller.enable;
  node = cfg.cluster.nodes.${toString cfg.node} or { roles = [ ]; address = null; };
  programs = map (role: cfg.cluster.roles.${role}.program or null) node.roles;
  runs = program: mkIf (cfg.node != null && lib.elem program programs) { enable = mkDefault true; };
in
{
  options.services.photoncloud = {
    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ../package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./nix/package.nix { }";
      example = lib.literalExpression "inputs.photoncloud.packages.x86_64-linux.default";
      description = "The photoncloud package.";
    };
    directory = mkOption {
      type = types.str;
      default = "/var/lib/photoncloud";
      example = "/srv/photoncloud";
      description = ''
        Holds a folder for each role that the host runs (store, controller, worker): the folder `nodes/<name>` that
        photon init has made. It has keys and passwords, so it never lies in the Nix store.'';
    };
    environmentFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/etc/photoncloud/environment";
      description = ''
        File with REDIS_URL=..., where the nodes have another store than that of services.photoncloud.store. It has a
        password, so it never lies in the Nix store.'';
    };
  };

  config = {
    services.photoncloud = {
      store = lib.mkMerge [ (runs "store") (runs "redis-sentinel") ];
      controller = runs "controller";
      worker = runs "worker";
    };
    assertions = mkIf (enabled != [ ]) (
      map (message: { assertion = false; inherit message; }) cfg.problems
      ++ map
        (name: {
          assertion = cfg.${name} == null || !(lib.hasPrefix builtins.storeDir cfg.${name});
          message = "services.photoncloud.${name}: has secrets; it must not lie in ${builtins.storeDir}";
        }) [ "directory" "environmentFile" ]
      ++ map
        (role: {
          assertion = !cfg.${role}.enable || cfg.${role}.address != null;
          message = "services.photoncloud.${role}.address: systemd holds it, and it is not declared; set it to the "
            + "address that photon init got, or say which node of the cluster this is (services.photoncloud.node)";
        }) [ "controller" "worker" ]
      ++ map
        (at: {
          assertion = false;
          message = "services.photoncloud: two programs of this host are to listen at ${at}; give one of them another "
            + "port, here and in its node.json";
        }) takenTwice
    );
    # So that no outgoing connection has one of them when its socket is opened, whatever the range of those is.
    boot.kernel.sysctl = mkIf (listenPorts != [ ]) {
      "net.ipv4.ip_local_reserved_ports" = mkDefault (lib.concatMapStringsSep "," toString listenPorts);
    };
    environment.systemPackages = mkIf (enabled != [ ]) [ cfg.package ];
    users = mkIf isUnprivileged {
      users.photoncloud = { isSystemUser = true; group = "photoncloud"; };
      groups.photoncloud = { };
    };
  };
}
