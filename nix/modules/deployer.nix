# services.photoncloud.deployer: applies what services.photoncloud.tenants declares, at boot and whenever it has
# changed, as a deployment, which keeps it: one run of `photon apply --deployment` that waits until every object is
# ready, or fails at its deadline and is tried again. Its token comes as a credential, never through the Nix store.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.photoncloud;
  deployer = cfg.deployer;
  inherit (import ./unit-hardening.nix) unprivileged;
  isInStore = lib.hasPrefix builtins.storeDir;
in
{
  options.services.photoncloud.deployer = {
    enable = mkEnableOption "applying the declared tenants from this host";
    clientFile = mkOption {
      type = types.str;
      default = "/etc/photoncloud/operator.json";
      example = "/run/secrets/photoncloud/operator.json";
      description = ''
        Client file with the address of the control API and a token, as photon init writes it to clients/. Read by
        systemd alone (LoadCredential).'';
    };
    caFile = mkOption {
      type = types.str;
      default = "/etc/photoncloud/ca.crt";
      example = "/run/secrets/photoncloud/ca.crt";
      description = "Certificate of the cluster's authority, which the client file names as ca.crt.";
    };
    deployment = mkOption {
      type = types.strMatching "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" // { description = "name"; };
      default = "nixos";
      example = "site-1";
      description = ''
        Name of the deployment, of tenant system, that keeps what is declared. Two hosts that declare different things
        need different names.'';
    };
    adopt = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Take over declared objects that exist and that no deployment manages.";
    };
    prune = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Delete what the deployment manages and is not declared any more.";
    };
    allowDeletes = mkOption {
      type = types.nullOr (types.ints.between 0 10000);
      default = null;
      example = 40;
      description = "How many objects one run may delete; null: as many as the guard of the deployment lets pass.";
    };
    deadlineSeconds = mkOption {
      type = types.ints.between 10 86400;
      default = 900;
      example = 1800;
      description = "How long one run may take.";
    };
    stateFile = mkOption {
      type = types.path;
      readOnly = true;
      default = pkgs.writeText "photoncloud-state.json" (builtins.toJSON cfg.documents);
      defaultText = lib.literalExpression ''pkgs.writeText "photoncloud-state.json" (builtins.toJSON ...)'';
      example = lib.literalExpression ''"''${config.services.photoncloud.deployer.stateFile}"'';
      description = "What is applied: a JSON list of documents.";
    };
  };

  config = mkIf deployer.enable {
    assertions = map
      (name: {
        assertion = !(isInStore deployer.${name});
        message =
          "services.photoncloud.deployer.${name}: must not lie in ${builtins.storeDir}, which everybody can read";
      }) [ "clientFile" "caFile" ]
    ++ [{
      assertion = cfg.documents != [ ];
      message = "services.photoncloud.deployer: nothing is declared that it could apply, and photon refuses an empty "
        + "state; declare a tenant, or leave the deployer out";
    }];
    systemd.services.photoncloud-deployer = {
      description = "apply what photoncloud tenants are declared to have";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      # A host has started before its tenants have what they are declared to have.
      after = [ "network-online.target" "multi-user.target" ]
        ++ lib.optional cfg.controller.enable "photoncloud-controller.service";
      # A host that is being prepared may not have its token yet.
      unitConfig.ConditionPathExists = deployer.clientFile;
      startLimitIntervalSec = 0;
      serviceConfig = unprivileged // {
        Type = "oneshot";
        RemainAfterExit = true;
        DynamicUser = true;
        LoadCredential = [ "client.json:${deployer.clientFile}" "ca.crt:${deployer.caFile}" ];
        ExecStart = lib.concatStringsSep " " (
          [ "${lib.getExe cfg.package} --as %d/client.json --tenant system apply -f ${deployer.stateFile}" ]
          ++ [ "--deployment ${deployer.deployment}" ]
          ++ lib.optional deployer.adopt "--adopt"
          ++ lib.optional deployer.prune "--prune"
          ++ lib.optional (deployer.allowDeletes != null) "--allow-deletes ${toString deployer.allowDeletes}"
          ++ [ "--timeout ${toString deployer.deadlineSeconds}" ]
        );
        TimeoutStartSec = deployer.deadlineSeconds + 30;
        Restart = "on-failure";
        RestartSec = "15s";
      };
    };
  };
}
