# The unit of a node program: `photon <role> --dir <directory>/<role>`, started again whenever it ends. It is
# crash-only: stopping it only makes the pause shorter for others. `sockets` are the units that hold its addresses: it
# never starts without them, and is restarted in one step, because a switch that stops it first stops them, too.
{ config, lib }:
role: sockets: serviceConfig:
let
  cfg = config.services.photoncloud;
  folder = "${cfg.directory}/${role}";
in
{
  description = "photoncloud ${role}";
  wantedBy = [ "multi-user.target" ];
  wants = [ "network-online.target" ];
  requires = sockets;
  after = [ "network-online.target" ] ++ sockets
    ++ lib.optional (role != "store" && cfg.store.enable) "photoncloud-store.service";
  # A host that is being prepared may not have its folder yet.
  unitConfig.ConditionPathExists = "${folder}/node.json";
  stopIfChanged = false;
  # It is never given up: systemd closes the sockets of a service that it has given up.
  startLimitIntervalSec = 0;
  serviceConfig = {
    ExecStart = "${lib.getExe cfg.package} ${role} --dir ${folder}";
    Restart = "always";
    RestartSec = "1s";
    TimeoutStopSec = "60s";
    LimitNOFILE = 65536;
  } // lib.optionalAttrs (cfg.environmentFile != null && role != "store") {
    EnvironmentFile = cfg.environmentFile;
  } // serviceConfig folder;
}
