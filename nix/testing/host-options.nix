# Test double: the options of NixOS that nix/modules sets, without what NixOS makes of them. `units` are the unit files
# that the services become, for systemd-analyze.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  list = type: mkOption { type = types.listOf type; default = [ ]; };
  set = mkOption { type = types.attrsOf types.anything; default = { }; };
  flag = default: mkOption { type = types.bool; inherit default; };

  textOf = value: if value == true then "true" else if value == false then "false" else toString value;
  linesOf = name: value:
    if builtins.isList value && value != [ ] then map (one: "${name}=${textOf one}") value
    else [ "${name}=${textOf value}" ];
  sectionOf = name: settings:
    lib.concatStringsSep "\n" ([ "[${name}]" ] ++ lib.concatLists (lib.mapAttrsToList linesOf settings)) + "\n";
  joined = lib.concatStringsSep " ";
  unitSection = unit: unit.unitConfig // {
    Description = unit.description;
    Wants = joined unit.wants;
    After = joined unit.after;
  } // lib.optionalAttrs (unit.requires != [ ]) { Requires = joined unit.requires; };
  unitOf = service: lib.concatStringsSep "\n" [
    (sectionOf "Unit" (unitSection service // lib.optionalAttrs (service.startLimitIntervalSec != null) {
      StartLimitIntervalSec = service.startLimitIntervalSec;
    }))
    (sectionOf "Service" service.serviceConfig)
    (sectionOf "Install" { WantedBy = joined service.wantedBy; })
  ];
  socketOf = socket: lib.concatStringsSep "\n" [
    (sectionOf "Unit" (unitSection socket))
    (sectionOf "Socket" ({ ListenStream = socket.listenStreams; } // socket.socketConfig))
    (sectionOf "Install" { WantedBy = joined socket.wantedBy; })
  ];
  ofEveryUnit = {
    description = mkOption { type = types.str; default = ""; };
    wantedBy = list types.str;
    wants = list types.str;
    requires = list types.str;
    after = list types.str;
    unitConfig = set;
  };
in
{
  options = {
    assertions = list types.anything;
    networking.hostName = mkOption { type = types.str; default = "host"; };
    networking.firewall.allowedTCPPorts = list types.port;
    networking.firewall.allowedTCPPortRanges = list (types.attrsOf types.port);
    networking.firewall.allowedUDPPorts = list types.port;
    networking.nftables.enable = flag false;
    networking.nftables.flushRuleset = flag false;
    boot.kernelModules = list types.str;
    boot.kernel.sysctl = set;
    boot.loader = set;
    nix.package = mkOption { type = types.package; };
    fileSystems = set;
    environment.systemPackages = list types.package;
    environment.etc = set;
    users.users = set;
    users.groups = set;
    virtualisation = set;
    units = mkOption { type = types.attrsOf types.str; default = lib.mapAttrs (_: unitOf) config.systemd.services; };
    socketUnits = mkOption {
      type = types.attrsOf types.str;
      default = lib.mapAttrs (_: socketOf) config.systemd.sockets;
    };
    system.stateVersion = mkOption { type = types.str; default = "26.11"; };
    systemd.services = mkOption {
      default = { };
      type = types.attrsOf (types.submodule {
        options = ofEveryUnit // {
          path = list types.package;
          serviceConfig = set;
          startLimitIntervalSec = mkOption { type = types.nullOr types.int; default = null; };
          restartIfChanged = flag true;
          stopIfChanged = flag true;
        };
      });
    };
    systemd.sockets = mkOption {
      default = { };
      type = types.attrsOf (types.submodule {
        options = ofEveryUnit // { listenStreams = list types.str; socketConfig = set; };
      });
    };
  };
}
