# Nodes of a photoncloud cluster as systemd services. A node's folder (certificates, password, settings) is made by
# `photon init` elsewhere and copied to the host; it holds secrets, so it never passes through the Nix store.
# Inert until a role is named.
{ config, lib, ... }:
let
  cfg = config.services.photoncloud;
  has = role: builtins.elem role cfg.roles;

  node = role: extra: lib.mkIf (has role) {
    description = "photoncloud ${role}";
    wantedBy = [ "multi-user.target" ];
    wants = [ "network-online.target" ];
    after = [ "network-online.target" ] ++ lib.optional (role != "store" && has "store") "photoncloud-store.service";
    serviceConfig = {
      ExecStart = "${lib.getExe cfg.package} ${role} --dir ${cfg.directory}/${role}";
      Restart = "always";
      RestartSec = "1s";
      TimeoutStopSec = "60s";
      LimitNOFILE = 65536;
    } // extra;
  };
in
{
  options.services.photoncloud = {
    package = lib.mkOption {
      type = lib.types.package;
      description = "The photoncloud package; the flake's module sets it.";
    };
    roles = lib.mkOption {
      type = lib.types.listOf (lib.types.enum [ "store" "controller" "worker" ]);
      default = [ ];
      example = [ "controller" "worker" ];
      description = "What this host runs. One host of a cluster runs the store.";
    };
    directory = lib.mkOption {
      type = lib.types.str;
      default = "/var/lib/photoncloud";
      description = "Holds one folder per role, made by photon init (its nodes/<name>). Never a path of the Nix store.";
    };
    openListenPorts = lib.mkOption {
      type = lib.types.listOf lib.types.port;
      default = [ ];
      example = [ 7443 7444 ];
      description = "TCP ports to open in the firewall: links between nodes, control API, store, as given to photon init.";
    };
  };

  config = lib.mkIf (cfg.roles != [ ]) {
    assertions = [{
      assertion = !(lib.hasPrefix builtins.storeDir cfg.directory);
      message = "services.photoncloud.directory holds secrets; it must not lie in ${builtins.storeDir}.";
    }];
    networking.firewall.allowedTCPPorts = cfg.openListenPorts;
    boot.kernelModules = lib.mkIf (has "worker") [ "tun" "vxlan" "bridge" "nf_conntrack" ];
    systemd.services.photoncloud-store = node "store" { };
    systemd.services.photoncloud-controller = node "controller" { };
    # A worker's guests outlive it: a new worker process finds and adopts them.
    systemd.services.photoncloud-worker = node "worker" {
      KillMode = "process";
      Delegate = true;
      # The worker's group has no processes of its own then, so the groups of guests below it can have limits.
      DelegateSubgroup = "worker";
    };
  };
}
