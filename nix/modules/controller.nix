# services.photoncloud.controller: a controller node. It serves the control API and owns shards; it needs no privileges.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.photoncloud;
  nodeUnit = import ./node-unit.nix { inherit config lib; };
  inherit (import ./unit-hardening.nix) unprivileged;
in
{
  options.services.photoncloud.controller = {
    enable = mkEnableOption "a controller node on this host";
    peerListenPort = mkOption {
      type = types.port;
      default = 7443;
      example = 7543;
      description = "TCP port for links between nodes, as given to photon init; only openFirewall reads it.";
    };
    apiListenPort = mkOption {
      type = types.port;
      default = 7444;
      example = 7544;
      description = "TCP port of the control API, as given to photon init; only openFirewall reads it.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the firewall lets nodes and clients reach the controller.";
    };
  };

  config = mkIf cfg.controller.enable {
    networking.firewall.allowedTCPPorts =
      mkIf cfg.controller.openFirewall [ cfg.controller.peerListenPort cfg.controller.apiListenPort ];
    systemd.services.photoncloud-controller = nodeUnit "controller" (folder: unprivileged // {
      User = "photoncloud";
      Group = "photoncloud";
      ExecStartPre = "+${lib.getExe' pkgs.coreutils "chown"} -R photoncloud:photoncloud ${folder}";
      ReadWritePaths = [ folder ];
    });
  };
}
