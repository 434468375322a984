# The sockets of a node program: systemd binds each address when the host starts and has it from then on, and gives the
# program the descriptor. So nobody can take the address while the program restarts, crashes or is upgraded, and
# connections wait meanwhile. A socket is stopped by hand alone: a switch of the host leaves sockets as they are.
{ config, lib }:
role: listenPorts:
let
  cfg = config.services.photoncloud;
in
{
  names = map (name: "photoncloud-${role}-${name}.socket") (lib.attrNames listenPorts);

  units = lib.mapAttrs'
    (name: port: lib.nameValuePair "photoncloud-${role}-${name}" {
      description = "photoncloud ${role}, listener ${name}";
      wantedBy = [ "sockets.target" ];
      unitConfig.ConditionPathExists = "${cfg.directory}/${role}/node.json";
      listenStreams = [ "${toString cfg.${role}.address}:${toString port}" ];
      socketConfig = {
        Service = "photoncloud-${role}.service";
        FileDescriptorName = name;
        # The address may come to an interface later.
        FreeBind = true;
        Backlog = 511;
        # A socket that has started its service too often would be closed.
        TriggerLimitIntervalSec = 0;
      };
    })
    listenPorts;

  # Null: not declared, which is a problem.
  addressOption = lib.mkOption {
    type = lib.types.nullOr lib.types.str;
    default = (cfg.cluster.nodes.${toString cfg.node} or { address = null; }).address;
    defaultText = lib.literalExpression "the address of services.photoncloud.node in the cluster";
    example = "192.0.2.1";
    description = "IPv4 address at which it listens, as given to photon init.";
  };
}
