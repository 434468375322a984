# What a worker does for a network and a port, as functions of the bare legs: bare-leg.sh and bare-moves.sh source it.
# Times are lines "sample NAME MS" on stdout. No code of photoncloud runs here.
now() { REPLY=${EPOCHREALTIME/[.,]/}; }
tick() { now; T0=$REPLY; }
tock() { now; local d=$((REPLY - T0)); printf 'sample %s %d.%03d\n' "$1" $((d / 1000)) $((d % 1000)); }
die() { echo "bare leg: $*" >&2; exit 1; }
within() { local n=$1; shift; nsenter --net=/run/netns/"$n" "$@"; }

# Whether the page answers in time, asked from a namespace.
page_of() {
  local k
  for ((k = 0; k < 1500; k++)); do
    within "$1" curl -s -m "$PAGE_TRY" -o /dev/null "http://$VM_IP/" && return
    sleep 0.02
  done
  return 1
}

GATEWAY_MAC=02:00:5e:00:00:01 VM_IP=10.77.1.11 VM_MAC=02:00:00:00:77:0b

# HOST...: hosts by number, namespaces w1 and so on.
underlay() {
  local n
  ip link set lo up
  ip netns add under
  ip -n under link add name ubr type bridge forward_delay 0
  ip -n under link set ubr up
  for n in "$@"; do
    ip netns add "w$n"
    ip -n "w$n" -batch - <<X || die underlay
link add name und0 type veth peer name u$n netns under
link set und0 mtu 1600 up
addr add 192.0.2.$n/24 dev und0
link set lo up
X
    ip -n under link set "u$n" mtu 1600 master ubr up
  done
}

# What follows is done on the worker W, in the namespace VPC of the tenant there.
W=1 VPC=vpc

# A VPC on a worker with one network and two other workers: namespace, overlay, bridge, sysctls, firewall.
network_realize() {
  local mine=192.0.2.$W others=() o; for o in 1 2 3; do ((o == W)) || others+=($o); done
  ip netns add $VPC
  ip -n $VPC -batch - <<X || die network
link set lo up
link add vx0 link-netns w$W address 02:00:5f:00:00:0$W type vxlan id 7701 dstport 4789 local $mine nolearning ttl 16
link set vx0 mtu 1500 up
addr add 169.254.64.$W/24 dev vx0
link add name br1 address $GATEWAY_MAC type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set br1 up
addr add 10.77.1.1/24 dev br1
neigh replace 169.254.64.${others[0]} lladdr 02:00:5f:00:00:0${others[0]} dev vx0 nud permanent
neigh replace 169.254.64.${others[1]} lladdr 02:00:5f:00:00:0${others[1]} dev vx0 nud permanent
X
  bridge -n $VPC -batch - <<X || die fdb
fdb replace 02:00:5f:00:00:0${others[0]} dev vx0 dst 192.0.2.${others[0]} self permanent
fdb replace 02:00:5f:00:00:0${others[1]} dev vx0 dst 192.0.2.${others[1]} self permanent
X
  within $VPC sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.br1.send_redirects=0 \
    net.ipv4.conf.br1.proxy_arp=1 net.ipv4.conf.br1.proxy_arp_pvlan=1 net.ipv4.neigh.br1.proxy_delay=0 || die sysctl
  within $VPC sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null
  within $VPC nft -f - <<'X' || die nft
table bridge port {
  set taps { type ifname; }
  set macs { type ifname . ether_addr; }
  set spoof { type ifname . ether_addr . ipv4_addr; }
  chain pre {
    type filter hook prerouting priority -300; policy accept;
    iifname @taps goto fromtap
  }
  chain fromtap {
    iifname . ether saddr != @macs drop
    ether type arp iifname . arp saddr ether . arp saddr ip @spoof accept
    ether type arp arp saddr ip 0.0.0.0 accept
    ether type ip ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
    ether type ip iifname . ether saddr . ip saddr @spoof accept
    drop
  }
}
table inet sg {
  map inmap { type ipv4_addr : verdict; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    ct state invalid drop
    ip daddr vmap @inmap
  }
}
X
}

# TAP IP MAC: everything of a port except its route, which leg_* adds as the last step.
port_wire() {
  ip -n $VPC -batch - <<X || die "port $1"
link set $1 master br1
link set $1 type bridge_slave isolated on learning off flood off mcast_flood off
link set $1 up
neigh replace $2 lladdr $3 dev br1 nud permanent
X
  bridge -n $VPC fdb replace "$3" dev "$1" master static || die "fdb $1"
  within $VPC nft -f - <<X || die "rules of $1"
add element bridge port taps { $1 }
add element bridge port macs { $1 . $3 }
add element bridge port spoof { $1 . $3 . $2 }
add chain inet sg in_$1
add rule inet sg in_$1 tcp dport 80 accept
add rule inet sg in_$1 icmp type echo-request accept
add rule inet sg in_$1 drop
add element inet sg inmap { $2 : goto in_$1 }
X
}
port_forget() {
  ip -n $VPC link del "$1"
  within $VPC nft -f - <<X || die "rules of $1"
delete element inet sg inmap { $2 }
flush chain inet sg in_$1
delete chain inet sg in_$1
delete element bridge port taps { $1 }
delete element bridge port macs { $1 . $3 }
delete element bridge port spoof { $1 . $3 . $2 }
X
}
# The VXLAN device goes first: the kernel removes a deleted namespace later, and until then it holds the VNI.
network_teardown() { ip -n $VPC link del vx0 && ip netns del $VPC; }

dnsmasq_start() {
  local log=/run/dnsmasq.log k
  within_exec $VPC dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=0 --interface=br1 \
    --bind-interfaces --except-interface=lo --dhcp-range=10.77.1.0,static,255.255.255.0,1h \
    --dhcp-host=$VM_MAC,$VM_IP,1h --dhcp-authoritative --no-ping --leasefile-ro --dhcp-option=3,10.77.1.1 \
    --pid-file= --user=root --log-facility="$log" &
  DNSMASQ=$!
  for ((k = 0; k < 1000; k++)); do grep -q 'sockets bound' "$log" 2>/dev/null && return; sleep 0.002; done
  die 'dnsmasq did not come up'
}
# For background jobs: replaces the shell by the program, so that the job's pid is the program's.
within_exec() { local n=$1; shift; exec nsenter --net=/run/netns/"$n" "$@"; }
dnsmasq_stop() { kill -9 $DNSMASQ; wait $DNSMASQ 2>/dev/null; rm -f /run/dnsmasq.log; }
