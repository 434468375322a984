#!/bin/bash
# What kernel, dnsmasq and QEMU cost without a control plane: the steps that a worker takes for a network, a port and a
# VM, each timed, as lines "sample NAME MS" on stdout. No code of photoncloud runs here. Started by bare-leg.ts as the
# first process of its own network, mount and process namespaces with a private /run, so everything it makes ends with
# it. In Bash, because its process starts are part of the figures and must stay comparable with earlier ones.
#   bare-leg.sh network RUNS | ports COUNT | boot RUNS | rules RUNS COUNT RULES | admit RUNS COUNT | members RUNS COUNT
#   for boot: QEMU, QEMU_DIR (optional), GUEST (folder with vmlinuz, initrd.img, commandline), SCRATCH (folder)
set -u -o pipefail
now() { REPLY=${EPOCHREALTIME/[.,]/}; }
tick() { now; T0=$REPLY; }
tock() { now; local d=$((REPLY - T0)); printf 'sample %s %d.%03d\n' "$1" $((d / 1000)) $((d % 1000)); }
die() { echo "bare leg: $*" >&2; exit 1; }
within() { local n=$1; shift; nsenter --net=/run/netns/"$n" "$@"; }

GATEWAY_MAC=02:00:5e:00:00:01 VM_IP=10.77.1.11 VM_MAC=02:00:00:00:77:0b

underlay() {
  ip link set lo up
  ip netns add under
  ip -n under link add name ubr type bridge forward_delay 0
  ip -n under link set ubr up
  ip netns add w1
  ip -n w1 -batch - <<X || die underlay
link add name und0 type veth peer name u1 netns under
link set und0 mtu 1600 up
addr add 192.0.2.1/24 dev und0
link set lo up
X
  ip -n under link set u1 mtu 1600 master ubr up
}

# A VPC on worker 1 with one network and two other workers: namespace, overlay, bridge, sysctls, firewall.
network_realize() {
  ip netns add vpc
  ip -n vpc -batch - <<X || die network
link set lo up
link add vx0 link-netns w1 address 02:00:5f:00:00:01 type vxlan id 7701 dstport 4789 local 192.0.2.1 nolearning ttl 16
link set vx0 mtu 1500 up
addr add 169.254.64.1/24 dev vx0
link add name br1 address $GATEWAY_MAC type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set br1 up
addr add 10.77.1.1/24 dev br1
neigh replace 169.254.64.2 lladdr 02:00:5f:00:00:02 dev vx0 nud permanent
neigh replace 169.254.64.3 lladdr 02:00:5f:00:00:03 dev vx0 nud permanent
X
  bridge -n vpc -batch - <<X || die fdb
fdb replace 02:00:5f:00:00:02 dev vx0 dst 192.0.2.2 self permanent
fdb replace 02:00:5f:00:00:03 dev vx0 dst 192.0.2.3 self permanent
X
  within vpc sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.br1.send_redirects=0 \
    net.ipv4.conf.br1.proxy_arp=1 net.ipv4.conf.br1.proxy_arp_pvlan=1 net.ipv4.neigh.br1.proxy_delay=0 || die sysctl
  within vpc sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null
  within vpc nft -f - <<'X' || die nft
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
  ip -n vpc -batch - <<X || die "port $1"
link set $1 master br1
link set $1 type bridge_slave isolated on learning off flood off mcast_flood off
link set $1 up
neigh replace $2 lladdr $3 dev br1 nud permanent
X
  bridge -n vpc fdb replace "$3" dev "$1" master static || die "fdb $1"
  within vpc nft -f - <<X || die "rules of $1"
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
  ip -n vpc link del "$1"
  within vpc nft -f - <<X || die "rules of $1"
delete element inet sg inmap { $2 }
flush chain inet sg in_$1
delete chain inet sg in_$1
delete element bridge port taps { $1 }
delete element bridge port macs { $1 . $3 }
delete element bridge port spoof { $1 . $3 . $2 }
X
}
# The VXLAN device goes first: the kernel removes a deleted namespace later, and until then it holds the VNI.
network_teardown() { ip -n vpc link del vx0 && ip netns del vpc; }

dnsmasq_start() {
  local log=/run/dnsmasq.log k
  within_exec vpc dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=0 --interface=br1 \
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

leg_network() {
  local r
  for ((r = 0; r < $1; r++)); do
    tick; network_realize; tock network_realize
    tick; ip -n w1 tuntap add dev tp0 mode tap; tock tap_create
    tick; ip -n w1 link set tp0 netns vpc; tock tap_move
    tick; port_wire tp0 $VM_IP $VM_MAC; ip -n vpc route replace $VM_IP/32 dev br1; tock port_realize
    tick; ip -n vpc link del tp0; tock tap_delete
    tick; dnsmasq_start; tock dnsmasq_ready
    dnsmasq_stop
    tick; network_teardown; tock network_teardown
  done
}

# Makes one port after the other on one bridge; each sample is a whole port, including its DHCP host.
leg_ports() {
  local k ip mac
  network_realize
  mkdir -p /run/hosts
  for ((k = 1; k <= $1; k++)); do
    ip=10.77.1.$((k + 10)) mac=$(printf '02:00:00:00:78:%02x' "$k")
    tick
    ip -n w1 tuntap add dev tp$k mode tap
    ip -n w1 link set tp$k netns vpc
    port_wire tp$k "$ip" "$mac"
    echo "$mac,$ip,1h" >/run/hosts/.new && mv /run/hosts/.new /run/hosts/tp$k
    ip -n vpc route replace "$ip/32" dev br1
    tock port
  done
}

address_of() { REPLY=10.$((80 + ($1 >> 16))).$(($1 >> 8 & 255)).$(($1 & 255)); }
mac_of() { printf -v REPLY '02:00:00:%02x:%02x:%02x' $(($1 >> 16)) $(($1 >> 8 & 255)) $(($1 & 255)); }
# COUNT FIRST: rules that let in COUNT ports, the first of them FIRST.
group_rules() {
  local k
  for ((k = 0; k < $1; k++)); do echo "add rule inet sg grp tcp dport $(($2 + k)) accept"; done
}
# COUNT RULES: the rules of COUNT ports that share one security group, without their taps.
port_rules() {
  local k ip mac; local -a taps=() macs=() spoof=() inmap=()
  for ((k = 1; k <= $1; k++)); do
    address_of $k; ip=$REPLY; mac_of $k; mac=$REPLY
    taps+=("tp$k") macs+=("tp$k . $mac") spoof+=("tp$k . $mac . $ip") inmap+=("$ip : goto grp")
  done
  local IFS=,
  { echo "add chain inet sg grp"; group_rules "$2" 1000; cat <<X
add element bridge port taps { ${taps[*]} }
add element bridge port macs { ${macs[*]} }
add element bridge port spoof { ${spoof[*]} }
add element inet sg inmap { ${inmap[*]} }
X
  } | within vpc nft -f - || die 'the rules of ports'
}

# Replaces the rules of the group, in one transaction.
leg_rules() {
  local r text
  network_realize
  port_rules "$2" "$3"
  for ((r = 0; r < $1; r++)); do
    text=$(echo 'flush chain inet sg grp'; group_rules "$3" $((2000 + r)))
    tick; within vpc nft -f - <<<"$text" || die rules; tock rules_replace
  done
}

# Adds the rules of one port to those of COUNT others, and takes them away again.
leg_admit() {
  local r added deleted ip=10.79.0.1 mac=02:00:00:ff:00:01
  local -a elements=("bridge port taps { tpx }" "bridge port macs { tpx . $mac }"
    "bridge port spoof { tpx . $mac . $ip }" "inet sg inmap { $ip : goto grp }")
  network_realize
  port_rules "$2" 5
  added=$(printf 'add element %s\n' "${elements[@]}") deleted=$(printf 'delete element %s\n' "${elements[@]}")
  for ((r = 0; r < $1; r++)); do
    tick; within vpc nft -f - <<<"$added" || die admit; tock port_admit
    within vpc nft -f - <<<"$deleted" || die dismiss
  done
}

# Adds one address to a set that has COUNT, and takes it away again.
leg_members() {
  local r k; local -a members=()
  for ((k = 1; k <= $2; k++)); do address_of $k; members+=("$REPLY"); done
  network_realize
  within vpc nft -f - <<<"add set inet sg members { type ipv4_addr; }
add element inet sg members { $(IFS=,; echo "${members[*]}") }" || die members
  for ((r = 0; r < $1; r++)); do
    tick; within vpc nft -f - <<<'add element inet sg members { 10.79.0.1 }' || die member; tock member_add
    within vpc nft -f - <<<'delete element inet sg members { 10.79.0.1 }' || die member
  done
}

qmp() { echo "$1" >&"${QEMU_JOB[1]}"; qmp_wait '"return"'; }
qmp_wait() {
  local line
  while read -r -t 20 -u "${QEMU_JOB[0]}" line; do [[ $line =~ $1 ]] && return; done
  die "QEMU said nothing like $1: $(<"$SCRATCH/qemu.err")"
}

qemu_start() {
  local -a dir=()
  [[ ${QEMU_DIR:-} ]] && dir=(-L "$QEMU_DIR")
  coproc QEMU_JOB { exec nsenter --net=/run/netns/w1 "$QEMU" "${dir[@]}" -name bare -M q35 -accel tcg -cpu "$CPU" \
    -m 128 -smp 1 -nodefaults -no-user-config -display none -serial "file:$SCRATCH/console" \
    -kernel "$GUEST/vmlinuz" -initrd "$GUEST/initrd.img" \
    -append "$(<"$GUEST/commandline")" -netdev tap,id=n0,ifname=tp0,script=no,downscript=no \
    -device virtio-net-pci,netdev=n0,mac=$VM_MAC,romfile= \
    -blockdev "driver=file,filename=$SCRATCH/volume.raw,node-name=f0,cache.direct=on" \
    -blockdev driver=raw,file=f0,node-name=d0 -device virtio-blk-pci,drive=d0,serial=barelegvolume0000001 \
    -qmp stdio -S 2>"$SCRATCH/qemu.err"; }
  QEMU_PID=$QEMU_JOB_PID
  qmp_wait '"QMP"'
  qmp '{"execute":"qmp_capabilities"}'
}

# Time to the first HTTP 200: tap, paused QEMU, move, wiring, route, cont, web page. A run is two boots: the first, on a
# blank volume, makes the file system; the second finds it.
leg_boot() {
  local r k start name
  network_realize
  dnsmasq_start
  for ((r = 0; r < 2 * $1; r++)); do
    name=boot_to_http
    ((r % 2 == 0)) && { name=first_boot_to_http; rm -f "$SCRATCH/volume.raw"; truncate -s 64M "$SCRATCH/volume.raw"; }
    now; start=$REPLY
    ip -n w1 tuntap add dev tp0 mode tap
    tick; qemu_start; tock qemu_to_qmp
    ip -n w1 link set tp0 netns vpc
    port_wire tp0 $VM_IP $VM_MAC
    ip -n vpc route replace $VM_IP/32 dev br1
    qmp '{"execute":"cont"}'
    for ((k = 0; k < 1500; k++)); do within vpc curl -s -m 0.5 -o /dev/null "http://$VM_IP/" && break; sleep 0.02; done
    ((k < 1500)) || die "no page from the guest: $(tail -c 300 "$SCRATCH/console")"
    T0=$start; tock $name
    exec {QEMU_JOB[1]}>&-
    kill -9 $QEMU_PID; wait $QEMU_PID 2>/dev/null
    port_forget tp0 $VM_IP $VM_MAC
  done
  dnsmasq_stop
}

usage='network RUNS | ports COUNT | boot RUNS | rules RUNS COUNT RULES | admit RUNS COUNT | members RUNS COUNT'
[[ "$*" =~ ^((network|ports|boot) [0-9]+|(admit|members) [0-9]+ [0-9]+|rules [0-9]+ [0-9]+ [0-9]+)$ ]] ||
  die "usage: $usage"
CPU=${CPU:-qemu64,+rdrand,+rdseed}
underlay
leg_"$1" "${@:2}"
exit 0
