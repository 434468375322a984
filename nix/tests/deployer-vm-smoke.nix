# A cluster of three VMs: a store with its controller, a worker, and a host with the deployer, all by the modules. What
# tenants have is that of a small declaration, without a guest (VMs in VMs are left to cluster-tests). Proves that the
# units start, that the deployer applies from nothing, and that its second run changes nothing.
{ pkgs }:
let
  addresses = { control = "192.168.1.1"; deployer = "192.168.1.2"; work = "192.168.1.3"; };
  module = { lib, ... }: {
    imports = [ ../modules ];
    virtualisation.memorySize = 2048;
    services.photoncloud = {
      directory = "/var/lib/photoncloud";
      cluster = {
        name = "smoke";
        underlay = "192.168.1.0/24";
        nodes.control = { address = addresses.control; roles = [ "store" "controller" ]; };
        nodes.work = { address = addresses.work; roles = [ "worker" ]; };
      };
      tenants.acme = {
        networks.front.subnets = [{ cidr = "10.20.0.0/24"; }];
        securityGroups.web.rules = [{ direction = "egress"; }];
        ports.probe = { network = "front"; address = "10.20.0.10"; securityGroups = [ "web" ]; };
      };
    };
  };
  host = extra: { imports = [ module extra ]; };
in
pkgs.testers.runNixOSTest {
  name = "deployer-vm-smoke";

  # Addresses follow the alphabetic order of the names.
  nodes = {
    control = host {
      services.photoncloud.node = "control";
      services.photoncloud.store.openFirewall = true;
      services.photoncloud.controller.openFirewall = true;
    };
    deployer = host { services.photoncloud.deployer.enable = true; };
    work = host {
      services.photoncloud.node = "work";
      services.photoncloud.worker.openFirewall = true;
    };
  };

  testScript = ''
    start_all()
    for machine in (control, deployer, work):
        machine.wait_for_unit("multi-user.target")

    # The folders of the nodes hold secrets: they are made once and copied, here through the test driver.
    control.succeed(
        "photon init --dir /root/smoke --cluster smoke --store store=${addresses.control}"
        " --controller control=${addresses.control} --worker work=${addresses.work}"
    )
    def files_of(folder):
        return control.succeed(f"tar -C /root/smoke/{folder} -cz . | base64 -w0").strip()

    def put(machine, folder, target):
        machine.succeed(f"mkdir -p {target} && echo {files_of(folder)} | base64 -d | tar -C {target} -xz")

    put(control, "nodes/store", "/var/lib/photoncloud/store")
    put(control, "nodes/control", "/var/lib/photoncloud/controller")
    put(work, "nodes/work", "/var/lib/photoncloud/worker")
    put(deployer, "clients", "/etc/photoncloud")

    control.succeed("systemctl start photoncloud-store photoncloud-controller")
    work.succeed("systemctl start photoncloud-worker")
    control.wait_for_open_port(7444)
    deployer.succeed("systemctl restart photoncloud-deployer")
    deployer.wait_for_unit("photoncloud-deployer")

    photon = "photon --as /etc/photoncloud/operator.json -t acme"
    assert "10.20.0.10" in deployer.succeed(f"{photon} get port probe -o json")
    deployer.succeed("systemctl restart photoncloud-deployer")
    lines = deployer.succeed("journalctl -u photoncloud-deployer -o cat --since -1min")
    assert "nothing to do" in lines

    # A worker that is stopped leaves what it has made: a switch of the host must not take it away.
    control.succeed("systemctl show photoncloud-controller -p ActiveState | grep -q active")
    assert "KillMode=process" in work.succeed("systemctl show photoncloud-worker -p KillMode")
  '';
}
