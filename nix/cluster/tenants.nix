# What operator and tenants of the six-node cluster have, as values of the options of nix/modules/tenants.nix. The
# harness applies the documents that come out of it: nix/cluster/documents, written by `npm run reference`.
{
  # The way out, through the uplink of the gateway node.
  externalNetworks.internet = {
    cidr = "203.0.113.0/24";
    gateway = "203.0.113.1";
    pools = [{ from = "203.0.113.10"; to = "203.0.113.99"; }];
    hosts = [ "node06" ];
    interface = "ext";
  };

  tenants.acme = {
    vpcs.main = { };
    networks.front.subnets = [{ name = "web"; cidr = "10.20.0.0/24"; }];
    # What the VM opens leaves with the address of the router.
    routers.edge.external.network = "internet";

    # The page for everybody, and nothing else from outside. The VM may reach all.
    securityGroups.web.rules = [
      { direction = "ingress"; protocol = "tcp"; ports = { from = 80; to = 80; }; }
      { direction = "egress"; }
    ];

    # One address for all servers with this label that answer; the page is looked for every four seconds.
    serviceIPs.page = {
      network = "front";
      ports = [{ protocol = "tcp"; port = 80; targetPort = 80; }];
      backends.selector = { app = "page"; };
      healthCheck = {
        protocol = "http";
        path = "/state";
        intervalSeconds = 4;
        timeoutSeconds = 4;
        rise = 1;
        fall = 3;
      };
    };
    # The same address in the internet.
    externalAddresses.page = { network = "internet"; target.serviceIp = "page"; };

    # Files that every worker of the harness sees; elsewhere the path is in a folder that workers may import from.
    images.guest-kernel = { source.path = "file:///run/guest/vmlinuz"; format = "kernel"; };
    images.guest-initrd = { source.path = "file:///run/guest/initrd.img"; format = "initrd"; };

    # Its bytes are on the storage node, and its VM runs on any worker.
    volumes.visits = { class = "shared"; sizeMib = 64; };

    vms.web-1 = {
      labels = { app = "page"; };
      cpus = 1;
      memoryMib = 128;
      nics = [{ name = "eth0"; network = "front"; securityGroups = [ "web" ]; }];
      disks = [{ volume = "visits"; }];
      boot = {
        kernel = "guest-kernel";
        initrd = "guest-initrd";
        # Without what takes time without KVM.
        commandLine = builtins.concatStringsSep " " [
          "console=ttyS0 quiet panic=1 no_timer_check mitigations=off random.trust_cpu=on 8250.nr_uarts=1"
          "i8042.noaux i8042.nokbd raid=noautodetect audit=0 nokaslr cryptomgr.notests tsc=reliable lsm="
          "rcupdate.rcu_expedited=1 nowatchdog"
        ];
      };
    };
  };
}
