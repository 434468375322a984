# Declarations for tests: `smallest` has one object of each kind with nothing but what must be given; `whole` gives
# every field the example of its option, or another value than its default, where that makes sense together.
{
  smallest = {
    externalNetworks.internet = {
      cidr = "203.0.113.0/24";
      pools = [{ from = "203.0.113.10"; to = "203.0.113.99"; }];
      hosts = [ "node06" ];
      interface = "ext";
    };
    rollouts.november.systems = [{
      host = "node06";
      system = "/nix/store/00000000000000000000000000000000-nixos-system-node06";
    }];
    tenants.acme = {
      vpcs.lab = { };
      networks.front.subnets = [{ cidr = "10.20.0.0/24"; }];
      serviceIPs.page = {
        network = "front";
        ports = [{ protocol = "tcp"; port = 80; targetPort = 80; }];
        backends.ports = [ "web-1.eth0" ];
      };
      peerings.both.vpcs = [ "main" "lab" ];
      addressSets.office.cidrs = [ "192.0.2.0/24" ];
      securityGroups.web.rules = [{ direction = "egress"; }];
      images.disk = { source.path = "/images/disk.raw"; format = "raw"; };
      volumes.root.sizeMib = 64;
      snapshots.before.volume = "root";
      ports.probe.network = "front";
      vms.web-1 = { nics = [{ network = "front"; }]; disks = [{ volume = "root"; }]; };
      routers.edge = { };
      externalAddresses.page.network = "internet";
      deployments.web = { };
    };
  };

  whole = {
    allowUserDataInStore = true;
    externalNetworks.internet = {
      labels = { of = "provider"; };
      cidr = "203.0.113.0/24";
      gateway = "203.0.113.1";
      pools = [{ from = "203.0.113.10"; to = "203.0.113.99"; } { from = "203.0.113.120"; to = "203.0.113.120"; }];
      hosts = [ "node06" "node05" ];
      interface = "ext";
      mtu = 1400;
      tenants = [ "acme" ];
    };
    rollouts.november = {
      labels = { release = "november"; };
      systems = [{ host = "node06"; system = "/nix/store/00000000000000000000000000000000-nixos-system-node06"; }];
      from = "http://192.0.2.1/cache";
      canary = "node06";
      maxParallel = 4;
      holdAfterCanary = true;
      deadlineSeconds = 1800;
    };
    tenants.acme = {
      labels = { tier = "gold"; };
      protect = true;
      quota = { vm = 20; portsPerNetwork = 100; };
      vpcs.lab = { labels = { for = "tests"; }; };
      networks.front = {
        protect = true;
        subnets = [
          {
            name = "web";
            cidr = "10.20.0.0/24";
            gateway = "10.20.0.254";
            pools = [{ from = "10.20.0.100"; to = "10.20.0.199"; }];
          }
          { cidr = "10.20.1.0/24"; }
        ];
        mtu = 1400;
        metadata = true;
        dhcp = {
          leaseSeconds = 600;
          dns = [ "192.0.2.53" ];
          domain = "acme.internal";
          search = [ "acme.internal" ];
          ntp = [ "192.0.2.123" ];
          routes = [{ destination = "198.51.100.0/24"; via = "10.20.0.10"; }];
        };
      };
      networks.back = { vpc = "lab"; subnets = [{ cidr = "10.30.0.0/24"; }]; };
      serviceIPs.page = {
        network = "front";
        address = "10.20.0.200";
        ports = [
          { protocol = "tcp"; port = 80; targetPort = 8080; }
          { protocol = "udp"; port = 80; targetPort = 8080; }
        ];
        backends.selector = { app = "page"; };
        healthCheck = { protocol = "http"; path = "/state"; port = 8080; timeoutSeconds = 1; };
        affinity = "source";
        retain = true;
      };
      peerings.both.vpcs = [ "main" "lab" ];
      addressSets.office = { vpc = "lab"; cidrs = [ "192.0.2.0/24" "198.51.100.7/32" ]; };
      securityGroups.web.rules = [
        {
          direction = "ingress";
          protocol = "tcp";
          ports = { from = 80; to = 443; };
          remote.cidr = "192.0.2.0/24";
          description = "web";
        }
        { direction = "ingress"; protocol = "icmp"; icmp = { type = 8; code = 0; }; remote.group = "default"; }
        { direction = "ingress"; protocol = 47; remote.addressSet = "office"; }
        { direction = "egress"; protocol = "udp"; remote.serviceIp = "page"; }
      ];
      images.kernel = { source.url = "https://images.example/vmlinuz"; format = "kernel";
        sha256 = "0000000000000000000000000000000000000000000000000000000000000001"; };
      images.initrd = { source.upload.sizeBytes = 1048576; format = "initrd"; host = "node04";
        sha256 = "0000000000000000000000000000000000000000000000000000000000000002"; };
      images.disk = { source.path = "/images/disk.qcow2"; format = "qcow2"; };
      volumes.root = { class = "shared"; sizeMib = 1024; format = "qcow2"; image = "disk"; };
      snapshots.before.volume = "root";
      ports.probe = {
        network = "front";
        address = "10.20.0.10";
        mac = "02:11:22:33:44:55";
        host = "node04";
        securityGroups = [ "web" "default" ];
        addressPairs = [{ cidr = "10.20.0.50/32"; mac = "02:11:22:33:44:66"; }];
        dnsName = "probe";
      };
      vms.web-1 = {
        labels = { app = "page"; };
        cpus = 2;
        memoryMib = 512;
        machineType = "pc-q35-10.0";
        restart = "always";
        running = false;
        host = "node04";
        placement.antiAffinity = { group = "web"; policy = "hard"; };
        nics = [
          { network = "front"; securityGroups = [ ]; }
          { name = "eth1"; network = "back"; address = "10.30.0.10"; portSecurity = false; }
        ];
        disks = [{ volume = "root"; }];
        boot = { kernel = "kernel"; initrd = "initrd"; commandLine = "console=ttyS0"; };
        seed = { userData = "#cloud-config\n"; network = false; };
        guestAgent = true;
      };
      routers.edge = {
        vpc = "lab";
        external = { network = "internet"; address = "203.0.113.11"; };
        routes = [
          { destination = "198.51.100.0/24"; via.port = "web-1.eth1"; }
          { destination = "198.51.101.0/24"; via.address = "10.30.0.10"; }
          { destination = "198.51.102.0/24"; via = "blackhole"; }
        ];
      };
      externalAddresses.page = { network = "internet"; address = "203.0.113.12"; target.serviceIp = "page"; };
      externalAddresses.probe = { network = "internet"; target.port = "probe"; };
      deployments.web = { mode = "enforce"; prune = true; adopt = true; maxDeletes = 10; readyWithinS = 600; };
    };
  };
}
