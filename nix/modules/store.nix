# services.photoncloud.store: the store of a cluster that has one host for it, a Redis that syncs before every reply.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.photoncloud;
  nodeUnit = import ./node-unit.nix { inherit config lib; };
  inherit (import ./unit-hardening.nix) unprivileged;
in
{
  options.services.photoncloud.store = {
    enable = mkEnableOption "the store of the cluster on this host";
    listenPort = mkOption {
      type = types.port;
      default = 6379;
      example = 6380;
      description = "TCP port of the store, as given to photon init; only openFirewall reads it.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the firewall lets other nodes reach the store.";
    };
  };

  config = mkIf cfg.store.enable {
    networking.firewall.allowedTCPPorts = mkIf cfg.store.openFirewall [ cfg.store.listenPort ];
    systemd.services.photoncloud-store = nodeUnit "store" [ ] (folder: unprivileged // {
      User = "photoncloud";
      Group = "photoncloud";
      ExecStartPre = "+${lib.getExe' pkgs.coreutils "chown"} -R photoncloud:photoncloud ${folder}";
      ReadWritePaths = [ folder ];
    });
  };
}
