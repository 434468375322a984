# services.photoncloud.worker: a worker node, which owns taps, namespaces and QEMU processes of this host. Its guests
# outlive it: a new worker process finds and adopts them, so nothing here may end a process that is not its own, and a
# switch of the host's configuration does not restart it.
{ config, lib, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.photoncloud;
  nodeUnit = import ./node-unit.nix { inherit config lib; };
  sockets = import ./node-sockets.nix { inherit config lib; } "worker" { peer = cfg.worker.peerListenPort; };
  inherit (import ./unit-hardening.nix) ofWorker;
  # Those of actors/dataplane/underlay-ports.ts.
  underlayPorts = { from = 21000; to = 25999; };
in
{
  options.services.photoncloud.worker = {
    enable = mkEnableOption "a worker node on this host";
    address = sockets.addressOption;
    peerListenPort = mkOption {
      type = types.port;
      default = 7443;
      example = 7543;
      description = "TCP port for links between nodes, as given to photon init.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether the firewall lets other nodes reach the worker, the overlay (UDP 4789), and the ports at which QEMU
        serves volumes to other hosts and takes guests from them (TCP 21000 to 25999).'';
    };
  };

  config = mkIf cfg.worker.enable {
    assertions = [{
      assertion = !(config.networking.nftables.enable && config.networking.nftables.flushRuleset);
      message = "networking.nftables.flushRuleset: each reload of the firewall would delete the tables of the worker, "
        + "which keep foreign hosts out of the overlay; set it to false";
    }];
    networking.firewall = mkIf cfg.worker.openFirewall {
      allowedTCPPorts = [ cfg.worker.peerListenPort ];
      allowedTCPPortRanges = [ underlayPorts ];
      allowedUDPPorts = [ 4789 ];
    };
    boot.kernelModules = [ "tun" "vxlan" "bridge" "nf_conntrack" ];
    systemd.sockets = sockets.units;
    systemd.services.photoncloud-worker = nodeUnit "worker" sockets.names (_: ofWorker // {
      KillMode = "process";
      Delegate = true;
      # The worker's group has no processes of its own then, so the groups of guests below it can have limits.
      DelegateSubgroup = "worker";
    }) // { restartIfChanged = false; };
  };
}
