# services.photoncloud.nixAgent: brings this host to a system that was built elsewhere, when it is asked to (`photon
# nix-agent request`), and back to the former one when its checks fail or nobody confirms over a new connection. It
# starts with a rollback of what was under way when it last ended. It builds nothing, and takes only what one of the
# trusted keys has signed.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.photoncloud;
  agent = cfg.nixAgent;
  folder = "${cfg.directory}/nix-agent";
  settings = { inherit (agent) trustedPublicKeys healthChecks probeSeconds confirmSeconds switchSeconds; };
  seconds = least: most: default: example: description: mkOption {
    type = types.ints.between least most;
    inherit default example description;
  };
in
{
  options.services.photoncloud.nixAgent = {
    enable = mkEnableOption "the agent that rolls out systems on this host";
    trustedPublicKeys = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "ci-1:5w9jDV4kXCRMs1fNRtfBMVvd3kLHkQXR9HuQSFCLvIE=" ];
      description =
        "Public keys of those whose closures it takes, as nix-store --generate-binary-cache-key makes them.";
    };
    healthChecks = mkOption {
      type = types.listOf (types.listOf types.str);
      default = [ ];
      example = [ [ "systemctl" "is-active" "photoncloud-worker" ] ];
      description = "Programs with arguments that end with 0 on a healthy host.";
    };
    probeSeconds = seconds 1 86400 60 120 "How long the checks may fail after a switch.";
    confirmSeconds = seconds 0 86400 120 300 "How long it waits for a confirmation; 0: none is needed.";
    switchSeconds = seconds 1 86400 600 1200 "How long a switch may take.";
    settingsFile = mkOption {
      type = types.path;
      readOnly = true;
      default = pkgs.writeText "photoncloud-nix-agent.json" (builtins.toJSON settings);
      defaultText = lib.literalExpression ''pkgs.writeText "photoncloud-nix-agent.json" (builtins.toJSON ...)'';
      example = lib.literalExpression ''"''${config.services.photoncloud.nixAgent.settingsFile}"'';
      description = "What the agent is told.";
    };
  };

  config = mkIf agent.enable {
    assertions = [{
      assertion = agent.trustedPublicKeys != [ ];
      message =
        "services.photoncloud.nixAgent.trustedPublicKeys: the agent takes what these keys have signed; name one";
    }];
    systemd.services.photoncloud-nix-agent = {
      description = "photoncloud nix-agent";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      # A switch that it carries out must not end it.
      restartIfChanged = false;
      path = [ config.nix.package ];
      serviceConfig = {
        ExecStartPre = "${lib.getExe' pkgs.coreutils "mkdir"} -p -m 700 ${folder}";
        ExecStart = "${lib.getExe cfg.package} nix-agent run --dir ${folder} --settings ${agent.settingsFile}";
        Restart = "always";
        RestartSec = "5s";
      };
    };
  };
}
