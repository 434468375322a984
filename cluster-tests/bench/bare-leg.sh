#!/bin/bash
# What kernel, dnsmasq and QEMU cost without a control plane: the steps that a worker takes for a network, a port and a
# VM, each timed, as lines "sample NAME MS" on stdout. No code of photoncloud runs here. Started by bare-leg.ts as the
# first process of its own network, mount and process namespaces with a private /run, so everything it makes ends with
# it. In Bash, because its process starts are part of the figures and must stay comparable with earlier ones.
#   bare-leg.sh network RUNS | ports COUNT | boot RUNS | rules RUNS COUNT RULES | admit RUNS COUNT | members RUNS COUNT
#     | batch COUNT
#   for boot: QEMU, QEMU_DIR (optional), GUEST (folder with vmlinuz, initrd.img, commandline), SCRATCH (folder),
#   PAGE_TRY (seconds)
set -u -o pipefail
. "${BASH_SOURCE[0]%/*}/bare-network.sh"

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

# One network with COUNT ports that share a security group, each tool started once for all of them.
leg_batch() {
  local k ip mac; local taps='' moves='' slaves='' entries='' routes=''
  for ((k = 1; k <= $1; k++)); do
    address_of $k; ip=$REPLY; mac_of $k; mac=$REPLY
    taps+="tuntap add dev tp$k mode tap"$'\n'
    moves+="link set tp$k netns vpc"$'\n'
    slaves+="link set tp$k mtu 1450 master br1"$'\n'
    slaves+="link set tp$k type bridge_slave isolated on learning off flood off mcast_flood off"$'\n'
    slaves+="neigh replace $ip lladdr $mac dev br1 nud permanent"$'\n'
    entries+="fdb replace $mac dev tp$k master static"$'\n'
    routes+="link set tp$k up"$'\n'"route replace $ip/32 dev br1"$'\n'
  done
  tick
  network_realize
  dnsmasq_start
  ip -n w1 -batch - <<<"$taps$moves" || die 'the taps'
  ip -n vpc -batch - <<<"$slaves" || die 'the ports'
  port_rules "$1" 2
  bridge -n vpc -batch - <<<"$entries" || die 'the entries of ports'
  ip -n vpc -batch - <<<"$routes" || die 'the routes of ports'
  tock batch
  k=$(ip -n vpc -4 route show scope link proto boot | wc -l)
  ((k == $1)) || die "$k of $1 ports have a route"
  dnsmasq_stop
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
    page_of vpc || die "no page from the guest: $(tail -c 300 "$SCRATCH/console")"
    T0=$start; tock $name
    exec {QEMU_JOB[1]}>&-
    kill -9 $QEMU_PID; wait $QEMU_PID 2>/dev/null
    port_forget tp0 $VM_IP $VM_MAC
  done
  dnsmasq_stop
}

usage='network RUNS | ports COUNT | boot RUNS | rules RUNS COUNT RULES | admit RUNS COUNT | members RUNS COUNT | '
usage+='batch COUNT'
[[ "$*" =~ ^((network|ports|boot|batch) [0-9]+|(admit|members) [0-9]+ [0-9]+|rules [0-9]+ [0-9]+ [0-9]+)$ ]] ||
  die "usage: $usage"
CPU=${CPU:-qemu64,+rdrand,+rdseed}
underlay 1
leg_"$1" "${@:2}"
exit 0
