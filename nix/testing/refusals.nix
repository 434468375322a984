# Declarations that must be refused, each with the texts of all its problems and no others. `declaration` is put over
# one that has none; paths below are those in tenant acme.
let
  acme = "services.photoncloud.tenants.acme";
  cluster = "services.photoncloud.cluster";
  base = {
    tenants.acme = {
      networks.front.subnets = [{ cidr = "10.20.0.0/24"; }];
      networks.back.subnets = [{ cidr = "10.20.1.0/24"; }];
      securityGroups.web.rules = [ ];
    };
  };
  # A cluster without problems, to be changed.
  nodes = {
    one = { address = "192.0.2.1"; roles = [ "store" "controller" ]; };
    two = { address = "192.0.2.2"; roles = [ "worker" ]; };
  };
  withNodes = nodes: { cluster = { underlay = "192.0.2.0/24"; inherit nodes; }; };
  inAcme = tenant: { tenants.acme = tenant; };
in
{
  inherit base;
  cases = {
    "a name that is none, and a reserved tenant" = {
      declaration.tenants = { system = { }; "Acme" = { }; acme.volumes."a b".sizeMib = 1; };
      says = [
        "services.photoncloud.tenants.Acme: is no name: a small letter, then small letters, digits and dashes, 40 in all"
        "${acme}.volumes.a b: is no name: a small letter, then small letters, digits and dashes, 40 in all"
        "services.photoncloud.tenants.system: tenant system is reserved; choose another name"
      ];
    };
    "networks of a VPC that overlap; in another VPC, and in another tenant, they may" = {
      declaration.tenants = {
        acme = {
          vpcs.lab = { };
          networks.large.subnets = [{ cidr = "10.20.0.0/23"; }];
          networks.same = { vpc = "lab"; subnets = [{ cidr = "10.20.0.0/24"; }]; };
        };
        other.networks.front.subnets = [{ cidr = "10.20.0.0/24"; }];
      };
      says = [
        "${acme}.networks.large.subnets.0.cidr: 10.20.0.0/23 overlaps 10.20.1.0/24 (${acme}.networks.back.subnets.0) in VPC main"
        "${acme}.networks.large.subnets.0.cidr: 10.20.0.0/23 overlaps 10.20.0.0/24 (${acme}.networks.front.subnets.0) in VPC main"
      ];
    };
    "CIDRs that are none" = {
      declaration = inAcme {
        networks.bits.subnets = [{ cidr = "10.30.0.1/24"; }];
        networks.six.subnets = [{ cidr = "fd00::/64"; }];
        networks.small.subnets = [{ cidr = "10.31.0.0/30"; }];
      };
      says = [
        "${acme}.networks.bits.subnets.0.cidr: 10.30.0.1/24 has host bits set; did you mean 10.30.0.0/24?"
        "${acme}.networks.six.subnets.0.cidr: \"fd00::/64\" is IPv6, and only IPv4 is built: write 10.0.0.0/24"
        "${acme}.networks.small.subnets.0.cidr: 10.31.0.0/30 has a prefix of 30; it must be 8 to 28"
      ];
    };
    "a gateway, pools and routes outside, a pool reversed, a name twice, an unknown VPC" = {
      declaration = inAcme {
        networks.bad = {
          vpc = "lab";
          subnets = [
            { name = "a"; cidr = "10.30.0.0/24"; gateway = "10.30.0.255"; pools = [{ from = "10.30.0.9"; to = "10.30.0.8"; }]; }
            { name = "a"; cidr = "10.31.0.0/24"; pools = [{ from = "10.31.0.9"; to = "10.31.1.1"; } { from = "10.31.0.20"; to = "10.31.0.30"; } { from = "10.31.0.30"; to = "10.31.0.40"; } { from = "10.31.0.4"; to = "10.31.0.5"; }]; }
          ];
          dhcp.routes = [{ destination = "198.51.100.1/24"; via = "10.32.0.9"; }];
        };
      };
      says = [
        "${acme}.networks.bad.vpc: there is no VPC lab; there are main"
        "${acme}.networks.bad.subnets.0.gateway: the gateway 10.30.0.255 is not a usable address of 10.30.0.0/24"
        "${acme}.networks.bad.subnets.0.pools.0: 10.30.0.9 to 10.30.0.8 ends before it begins; exchange the two addresses"
        "${acme}.networks.bad.subnets.1.pools.0: 10.31.0.9 to 10.31.1.1 is not within 10.31.0.0/24; use 10.31.0.5 to 10.31.0.254"
        "${acme}.networks.bad.subnets.1.pools.1: 10.31.0.20 to 10.31.0.30 overlaps pool 0; merge the two"
        "${acme}.networks.bad.subnets.1.pools.2: 10.31.0.30 to 10.31.0.40 overlaps pool 0; merge the two"
        "${acme}.networks.bad.subnets.1.pools.3: 10.31.0.4 to 10.31.0.5 has reserved addresses of 10.31.0.0/24; use 10.31.0.5 to 10.31.0.254"
        "${acme}.networks.bad.dhcp.routes.0.destination: 198.51.100.1/24 has host bits set; did you mean 198.51.100.0/24?"
        "${acme}.networks.bad.dhcp.routes.0.via: 10.32.0.9 is in no subnet of the network, so no guest reaches it"
        "${acme}.networks.bad.subnets.1.name: a is the name of an earlier subnet, too"
      ];
    };
    "addresses outside, reserved, of the gateway, and twice; a MAC twice and one that is foreign; unknown names" = {
      declaration = inAcme {
        ports.gateway = { network = "front"; address = "10.20.0.1"; };
        ports.outside = { network = "front"; address = "10.20.1.9"; mac = "00:11:22:33:44:55"; };
        ports.reserved = { network = "front"; address = "10.20.0.255"; };
        ports.first = { network = "front"; address = "10.20.0.9"; mac = "02:11:22:33:44:55"; };
        ports.nowhere = { network = "none"; securityGroups = [ "web" "gone" "default" ]; };
        ports.pairs = { network = "front"; addressPairs = [{ cidr = "10.20.9.0/28"; }]; };
        serviceIPs.page = {
          network = "front";
          address = "10.20.0.9";
          ports = [{ protocol = "tcp"; port = 80; targetPort = 80; } { protocol = "tcp"; port = 80; targetPort = 81; }];
          backends = { selector = { app = "a"; }; ports = [ ]; };
        };
        volumes.root.sizeMib = 1;
        vms.web-1 = { nics = [{ network = "front"; address = "10.20.0.9"; mac = "02:11:22:33:44:55"; }]; disks = [{ volume = "root"; }]; };
      };
      says = [
        "${acme}.ports.gateway.address: 10.20.0.1 is the gateway of 10.20.0.0/24"
        "${acme}.ports.nowhere.network: there is no network none; there are back, front"
        "${acme}.ports.nowhere.securityGroups.1: there is no security group gone; there are default, web"
        "${acme}.ports.outside.address: 10.20.1.9 is in no subnet of network front (10.20.0.0/24)"
        "${acme}.ports.outside.mac: 00:11:22:33:44:55 is not locally administered: its second digit must be 2, 6, a or e"
        "${acme}.ports.pairs.addressPairs.0.cidr: 10.20.9.0/28 is in no subnet of network front"
        "${acme}.ports.reserved.address: 10.20.0.255 is reserved in 10.20.0.0/24: its first five addresses and the last are nobody's"
        "${acme}.serviceIPs.page.backends: takes exactly one of selector, ports; selector and ports are given"
        "${acme}.serviceIPs.page.ports.1: tcp 80 is already served by an earlier port of it"
        "${acme}.vms.web-1.nics.0.address: 10.20.0.9 in network front is that of ${acme}.ports.first.address, too"
        "${acme}.serviceIPs.page.address: 10.20.0.9 in network front is that of ${acme}.ports.first.address, too"
        "${acme}.vms.web-1.nics.0.mac: 02:11:22:33:44:55 in network front is that of ${acme}.ports.first.mac, too"
      ];
    };
    "rules with ports that their protocol has not, reversed ports, several remotes, unknown remotes" = {
      declaration = inAcme {
        securityGroups.bad.rules = [
          { direction = "ingress"; ports = { from = 80; to = 80; }; }
          { direction = "ingress"; protocol = "tcp"; ports = { from = 90; to = 80; }; icmp = { type = 8; }; }
          { direction = "ingress"; remote = { cidr = "192.0.2.0/24"; group = "web"; }; }
          { direction = "ingress"; remote = { }; }
          { direction = "ingress"; remote.group = "gone"; }
          { direction = "ingress"; remote.addressSet = "gone"; }
          { direction = "egress"; remote.cidr = "192.0.2.1/24"; }
        ];
        addressSets.office = { vpc = "lab"; cidrs = [ "192.0.2.0/24" "192.0.2.128/25" ]; };
      };
      says = [
        "${acme}.securityGroups.bad.rules.0.ports: protocol any has no ports; name tcp, udp or sctp, or leave them out"
        "${acme}.securityGroups.bad.rules.1.ports: 90 to 80 ends before it begins"
        "${acme}.securityGroups.bad.rules.1.icmp: only protocol icmp has a type; this rule has tcp"
        "${acme}.securityGroups.bad.rules.2.remote: takes exactly one of cidr, group, addressSet, serviceIp; cidr and group are given"
        "${acme}.securityGroups.bad.rules.3.remote: takes exactly one of cidr, group, addressSet, serviceIp; none is given"
        "${acme}.securityGroups.bad.rules.4.remote.group: there is no security group gone; there are default, bad, web"
        "${acme}.securityGroups.bad.rules.5.remote.addressSet: there is no address set gone; there are office"
        "${acme}.securityGroups.bad.rules.6.remote.cidr: 192.0.2.1/24 has host bits set; did you mean 192.0.2.0/24?"
        "${acme}.addressSets.office.vpc: there is no VPC lab; there are main"
        "${acme}.addressSets.office.cidrs.1: 192.0.2.128/25 overlaps 192.0.2.0/24 of the same list; keep the larger one"
      ];
    };
    "routers, external addresses and peerings that name what is not there" = {
      declaration = {
        externalNetworks.internet = {
          cidr = "203.0.113.0/24";
          gateway = "203.0.113.0";
          pools = [{ from = "203.0.113.9"; to = "203.0.114.1"; }];
          hosts = [ "node06" ];
          interface = "ext";
          tenants = [ "other" ];
        };
        tenants.acme = {
          routers.edge = {
            external = { network = "internet"; address = "198.51.100.1"; snat = false; };
            routes = [
              { destination = "198.51.100.0/24"; via.port = "gone"; }
              { destination = "198.51.100.0/24"; via.address = "10.99.0.1"; }
              { destination = "198.51.101.0/24"; via = { }; }
            ];
          };
          externalAddresses.page = { network = "outer"; target = { port = "gone"; serviceIp = "gone"; }; };
          peerings.self.vpcs = [ "main" "main" ];
          peerings.gone.vpcs = [ "main" "gone" ];
        };
      };
      says = [
        "services.photoncloud.externalNetworks.internet.gateway: 203.0.113.0 is not a usable address of 203.0.113.0/24"
        "services.photoncloud.externalNetworks.internet.pools.0: 203.0.113.9 to 203.0.114.1 is not within 203.0.113.0/24; use 203.0.113.1 to 203.0.113.254"
        "${acme}.routers.edge.routes.0.via.port: there is no port gone; there is none"
        "${acme}.routers.edge.routes.1.via.address: 10.99.0.1 is in no subnet of VPC main"
        "${acme}.routers.edge.routes.2.via: takes exactly one of address, port; none is given"
        "${acme}.routers.edge.routes.1.destination: 198.51.100.0/24 is the destination of an earlier route, too"
        "${acme}.routers.edge.external.network: internet does not serve tenant acme"
        "${acme}.routers.edge.external.address: 198.51.100.1 is not within 203.0.113.0/24 of internet"
        "${acme}.routers.edge.external.address: a router without snat has no address; leave it out, or set snat"
        "${acme}.externalAddresses.page.network: there is no external network outer; there are internet"
        "${acme}.externalAddresses.page.target: takes exactly one of port, serviceIp; port and serviceIp are given"
        "${acme}.externalAddresses.page.target.port: there is no port gone; there is none"
        "${acme}.externalAddresses.page.target.serviceIp: there is no service IP gone; there is none"
        "${acme}.peerings.gone.vpcs.1: there is no VPC gone; there are main"
        "${acme}.peerings.self.vpcs: main is named twice; name another VPC"
      ];
    };
    "peered VPCs that overlap, and an external address twice" = {
      declaration = inAcme {
        vpcs.lab = { };
        networks.same = { vpc = "lab"; subnets = [{ cidr = "10.20.0.0/24"; }]; };
        peerings.both.vpcs = [ "main" "lab" ];
        externalAddresses.a = { network = "internet"; address = "203.0.113.9"; };
        externalAddresses.b = { network = "internet"; address = "203.0.113.9"; };
      };
      says = [
        "${acme}.externalAddresses.b.address: 203.0.113.9 of internet is that of ${acme}.externalAddresses.a.address, too"
        "${acme}.peerings.both.vpcs: 10.20.0.0/24 of main overlaps 10.20.0.0/24 of lab; renumber one of the two"
      ];
    };
    "VMs without anything to boot, with disks and images that are not there, and user data in the store" = {
      declaration = inAcme {
        images.disk = { source = { path = "/d"; url = "https://d.example/"; }; format = "raw"; };
        images.fetched = { source.url = "https://d.example/"; format = "kernel"; };
        volumes.root = { sizeMib = 1; image = "fetched"; };
        snapshots.of.volume = "gone";
        vms.bare.nics = [{ network = "front"; } { network = "back"; }];
        vms.a = { nics = [{ network = "front"; }]; disks = [{ volume = "root"; } { volume = "gone"; }]; };
        vms.b = {
          nics = [{ network = "front"; }];
          disks = [{ volume = "root"; }];
          boot = { kernel = "disk"; initrd = "gone"; };
          seed.userData = "password: x";
        };
      };
      says = [
        "${acme}.vms.a.disks.1.volume: there is no volume gone; there are root"
        "${acme}.vms.b.boot.kernel: image disk is of format raw; it must be kernel"
        "${acme}.vms.b.boot.initrd: there is no image gone; there are disk, fetched"
        "${acme}.vms.b.seed.userData: everybody on the host could read it in the Nix store; declare it with photon apply, or set services.photoncloud.allowUserDataInStore when it holds no secret"
        "${acme}.vms.bare: has nothing to boot: give it a disk, or boot"
        "${acme}.vms.bare.nics.1.name: eth0 is the name of an earlier NIC, too"
        "${acme}.vms.b.disks.0.volume: root is the disk of ${acme}.vms.a.disks.0.volume, too"
        "${acme}.images.disk.source: takes exactly one of path, url, upload; path and url are given"
        "${acme}.images.fetched.sha256: is required for bytes that come over a network"
        "${acme}.volumes.root.image: image fetched is of format kernel; it must be raw or qcow2"
        "${acme}.snapshots.of.volume: there is no volume gone; there are root"
      ];
    };
    "a cluster whose nodes share an address, have unknown roles, and lack one" = {
      declaration = withNodes (nodes // {
        two = { address = "192.0.2.1"; roles = [ "dns" ]; };
        three = { address = "192.0.3.1"; roles = [ "store" ]; };
      }) // { node = "four"; };
      says = [
        "${cluster}.nodes.three.address: 192.0.3.1 is no address of a host in 192.0.2.0/24"
        "${cluster}.nodes.two.roles: there is no role dns; roles are controller, store, worker"
        "${cluster}.nodes.two.address: 192.0.2.1 is that of one, too"
        "${cluster}.roles.worker: no node has this role; give it to one, or take it out"
        "${cluster}.nodes: 2 nodes run the store of its own; one does"
        "${cluster}.nodes: no node is a worker"
        "services.photoncloud.node: the cluster declares no node four"
      ];
    };
    "hosts that are no nodes" = {
      declaration = withNodes nodes // inAcme {
        ports.probe = { network = "front"; host = "three"; };
        images.disk = { source.path = "/d"; format = "raw"; host = "three"; };
        volumes.root.sizeMib = 1;
        vms.a = { nics = [{ network = "front"; }]; disks = [{ volume = "root"; }]; host = "three"; };
      };
      says = [
        "${acme}.ports.probe.host: there is no node three; there are one, two"
        "${acme}.images.disk.host: there is no node three; there are one, two"
        "${acme}.vms.a.host: there is no node three; there are one, two"
      ];
    };
    "a quorum of two, a need of an unknown role, and a gateway host that is no node" = {
      declaration = {
        cluster = {
          underlay = "192.0.2.0/33";
          roles = {
            store.program = "redis-sentinel";
            controller = { program = "controller"; needs = [ "dns" ]; };
            worker.program = "worker";
          };
          nodes = nodes // { three = { address = "192.0.2.3"; roles = [ "store" ]; }; };
        };
        externalNetworks.internet = {
          cidr = "203.0.113.0/24";
          pools = [{ from = "203.0.113.9"; to = "203.0.113.10"; }];
          hosts = [ "node06" ];
          interface = "ext";
        };
      };
      says = [
        "services.photoncloud.externalNetworks.internet.hosts.0: there is no node node06; there are one, three, two"
        "${cluster}.underlay: \"192.0.2.0/33\" is not a CIDR such as 10.0.0.0/24"
        "${cluster}.roles.controller.needs: there is no role dns"
        "${cluster}.nodes: 2 nodes hold the store with its Sentinels; a quorum needs 3, 5 or 7"
      ];
    };
    "a store that is on one node alone and on others with Sentinels, four of them, two at one address" = {
      declaration.cluster = {
        roles = {
          store.program = "redis-sentinel";
          alone.program = "store";
          controller.program = "controller";
          worker.program = "worker";
        };
        nodes = nodes // {
          three = { address = "192.0.2.3"; roles = [ "store" ]; };
          four = { address = "192.0.2.3"; roles = [ "store" ]; };
          five = { address = "192.0.2.5"; roles = [ "store" ]; };
          six = { address = "192.0.2.6"; roles = [ "alone" ]; };
        };
      };
      says = [
        "${cluster}.nodes.three.address: 192.0.2.3 is that of four, too"
        "${cluster}.nodes: 4 nodes hold the store with its Sentinels; a quorum needs 3, 5 or 7"
        "${cluster}.nodes: some nodes run the store alone, others with a Sentinel; it is the one or the other"
      ];
    };
  };
}
