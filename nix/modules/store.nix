# services.photoncloud.store: the store on this host, a Redis that syncs before every reply. A cluster has one host for
# it, or three, five or seven: then each has a Redis and a Sentinel, and the hosts choose the primary among them. Which of
# the two it is, addresses, users and passwords are in the folder that photon init makes, never in the Nix store.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.photoncloud;
  nodeUnit = import ./node-unit.nix { inherit config lib; };
  inherit (import ./unit-hardening.nix) unprivileged;
  inherit (cfg.store) hasReplicas;
  programs = map (role: cfg.cluster.roles.${role}.program or null)
    (cfg.cluster.nodes.${toString cfg.node} or { roles = [ ]; }).roles;
in
{
  options.services.photoncloud.store = {
    enable = mkEnableOption "the store of the cluster on this host";
    hasReplicas = mkOption {
      type = types.bool;
      default = lib.elem "redis-sentinel" programs;
      defaultText = lib.literalExpression "whether services.photoncloud.node has a role with program redis-sentinel";
      example = true;
      description = ''
        Whether this is one of several hosts of the store, each with a Sentinel beside it. A switch of the host does not
        restart it then: hosts that are switched together would all be away at once.'';
    };
    listenPort = mkOption {
      type = types.port;
      default = 6379;
      example = 6380;
      description = "TCP port of the store, as given to photon init; for the firewall, and kept out of outgoing ports.";
    };
    sentinelListenPort = mkOption {
      type = types.port;
      default = 26379;
      example = 26380;
      description = "TCP port of the Sentinel of a store with replicas, as given to photon init; as listenPort.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the firewall lets other nodes reach the store.";
    };
  };

  config = mkIf cfg.store.enable {
    networking.firewall.allowedTCPPorts = mkIf cfg.store.openFirewall
      ([ cfg.store.listenPort ] ++ lib.optional hasReplicas cfg.store.sentinelListenPort);
    systemd.services.photoncloud-store = nodeUnit "store" [ ] (folder: unprivileged // {
      User = "photoncloud";
      Group = "photoncloud";
      ExecStartPre = "+${lib.getExe' pkgs.coreutils "chown"} -R photoncloud:photoncloud ${folder}";
      ReadWritePaths = [ folder ];
      # setpriv, by which Redis ends with its supervisor, sets its capabilities to what they are, which is none.
      SystemCallFilter = unprivileged.SystemCallFilter ++ [ "capset" ];
    }) // { restartIfChanged = !hasReplicas; };
  };
}
