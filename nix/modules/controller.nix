# services.photoncloud.controller: a controller node. It serves the control API and owns shards; it needs no privileges.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.photoncloud;
  nodeUnit = import ./node-unit.nix { inherit config lib; };
  sockets = import ./node-sockets.nix { inherit config lib; } "controller" {
    peer = cfg.controller.peerListenPort;
    api = cfg.controller.apiListenPort;
  };
  inherit (import ./unit-hardening.nix) unprivileged;
in
{
  options.services.photoncloud.controller = {
    enable = mkEnableOption "a controller node on this host";
    address = sockets.addressOption;
    peerListenPort = mkOption {
      type = types.port;
      default = 7443;
      example = 7543;
      description = "TCP port for links between nodes, as given to photon init.";
    };
    apiListenPort = mkOption {
      type = types.port;
      default = 7444;
      example = 7544;
      description = "TCP port of the control API, as given to photon init.";
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
    systemd.sockets = sockets.units;
    systemd.services.photoncloud-controller = nodeUnit "controller" sockets.names (folder: unprivileged // {
      User = "photoncloud";
      Group = "photoncloud";
      ExecStartPre = "+${lib.getExe' pkgs.coreutils "chown"} -R photoncloud:photoncloud ${folder}";
      ReadWritePaths = [ folder ];
    });
  };
}
