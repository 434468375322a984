#!/bin/bash
# What moving a running guest between two hosts costs without a control plane: tap, wiring, a QEMU that listens, a
# mirror of the disk, pre-copy, and the routes turned. Prints "sample total MS" (until the guest goes on and its address
# leads there), "sample gap MS" (the longest time between two answers to a ping every 20 ms) and "sample pause MS" for
# each move, while its page is visited again and again, as in the product's leg. No code of photoncloud runs here.
# Started by bare-leg.ts as bare-leg.sh is.
#   bare-moves.sh MOVES
#   QEMU, QEMU_DIR (optional), GUEST (folder with vmlinuz, initrd.img, commandline), SCRATCH (folder), DISK_MIB,
#   PAGE_TRY (seconds)
#   TLS_SERVER, TLS_CLIENT (optional): objects named "key"; with them memory and disk go over TLS
set -u -o pipefail
. "${BASH_SOURCE[0]%/*}/bare-network.sh"
CPU=${CPU:-qemu64,+rdrand,+rdseed}
declare -a TO_QEMU FROM_QEMU HEARD PID

on() { W=$1 VPC=vpc$1; }
disk() { REPLY=$SCRATCH/disk-$1.raw; }

# What QEMU of host $1 says until a line matches $2; lines since the last command count, too.
hear() {
  local line
  [[ ${HEARD[$1]} =~ $2 ]] && return
  while read -r -t 60 -u "${FROM_QEMU[$1]}" line; do
    HEARD[$1]+=$line$'\n'
    [[ $line =~ \"error\":\ *\{ ]] && die "QEMU on w$1: $line"
    [[ $line =~ $2 ]] && return
  done
  die "QEMU on w$1 said nothing like $2: $(tail -c 300 "$SCRATCH/qemu-$1.err")"
}
qmp() { HEARD[$1]=; echo "{\"execute\":\"$2\"${3:+,\"arguments\":$3}}" >&"${TO_QEMU[$1]}"; hear "$1" '"return"'; }

# A QEMU on host $1 that stands still, with more arguments.
qemu_on() {
  local n=$1 dir=() fd; shift
  [[ ${QEMU_DIR:-} ]] && dir=(-L "$QEMU_DIR")
  rm -f /run/q"$n".in /run/q"$n".out; mkfifo /run/q"$n".in /run/q"$n".out
  exec {fd}<>/run/q"$n".in; TO_QEMU[n]=$fd
  exec {fd}<>/run/q"$n".out; FROM_QEMU[n]=$fd
  disk "$n"
  nsenter --net=/run/netns/w"$n" "$QEMU" "${dir[@]}" -name "bare$n" -M q35 -accel tcg -cpu "$CPU" -m 128 -smp 1 \
    -nodefaults -no-user-config -display none -serial "file:$SCRATCH/console-$n" -kernel "$GUEST/vmlinuz" \
    -initrd "$GUEST/initrd.img" -append "$(<"$GUEST/commandline")" \
    -netdev tap,id=n0,ifname=tp0,script=no,downscript=no -device virtio-net-pci,netdev=n0,mac=$VM_MAC,romfile= \
    -blockdev "driver=file,filename=$REPLY,node-name=f0,cache.direct=on" -blockdev driver=raw,file=f0,node-name=d0 \
    -device virtio-blk-pci,drive=d0,serial=barelegvolume0000001 \
    -chardev "pipe,id=q,path=/run/q$n" -mon chardev=q,mode=control -S "$@" 2>"$SCRATCH/qemu-$n.err" &
  PID[n]=$!
  HEARD[n]=
  hear "$n" '"QMP"'
  qmp "$n" qmp_capabilities
}
qemu_end() {
  local fd
  kill -9 "${PID[$1]}"; wait "${PID[$1]}" 2>/dev/null
  for fd in "${TO_QEMU[$1]}" "${FROM_QEMU[$1]}"; do exec {fd}>&-; done
}

port_on() {
  on "$1"
  ip -n w"$1" link set tp0 netns "$VPC"
  port_wire tp0 $VM_IP $VM_MAC
}
# The address leads to host $2, seen from host $1.
lead() {
  if (($1 == $2)); then ip -n vpc"$1" route replace $VM_IP/32 dev br1
  else ip -n vpc"$1" route replace $VM_IP/32 via 169.254.64."$2" dev vx0 onlink; fi
}

# HOST KEY: the key is empty without TLS.
settle() {
  [[ $2 ]] && qmp "$1" object-add "$2"
  qmp "$1" migrate-set-capabilities '{"capabilities":[{"capability":"events","state":true},
    {"capability":"pause-before-switchover","state":true},{"capability":"late-block-activate","state":true}]}'
  qmp "$1" migrate-set-parameters "{\"downtime-limit\":300,\"max-bandwidth\":1099511627776${2:+,$KEY}}"
}

TLS_SERVER=${TLS_SERVER:-} TLS_CLIENT=${TLS_CLIENT:-} KEY='"tls-creds":"key"'
# From host $1 to host $2.
move() {
  local a=$1 b=$2 start stopped door
  now; start=$REPLY
  disk "$b"; rm -f "$REPLY"; truncate -s "${DISK_MIB}M" "$REPLY"
  ip -n w"$b" tuntap add dev tp0 mode tap
  qemu_on "$b" -incoming defer
  port_on "$b"
  settle "$b" "$TLS_SERVER"
  door="\"host\":\"192.0.2.$b\",\"port\":\"4445\""
  qmp "$b" nbd-server-start "{\"addr\":{\"type\":\"inet\",\"data\":{$door}}${TLS_SERVER:+,$KEY}}"
  qmp "$b" block-export-add '{"type":"nbd","id":"e0","node-name":"d0","name":"d0","writable":true}'
  qmp "$b" migrate-incoming "{\"uri\":\"tcp:192.0.2.$b:4444\"}"
  settle "$a" "$TLS_CLIENT"
  qmp "$a" blockdev-add "{\"driver\":\"nbd\",\"node-name\":\"peer\",\"export\":\"d0\",\"discard\":\"unmap\",
    \"detect-zeroes\":\"unmap\"${TLS_CLIENT:+,$KEY},\"server\":{\"type\":\"inet\",$door}}"
  qmp "$a" blockdev-mirror '{"job-id":"mirror","device":"d0","target":"peer","sync":"full",
    "copy-mode":"write-blocking"}'
  hear "$a" BLOCK_JOB_READY
  qmp "$a" migrate "{\"uri\":\"tcp:192.0.2.$b:4444\"}"
  hear "$a" '"STOP"'; now; stopped=$REPLY
  hear "$a" '"pre-switchover"'
  qmp "$a" block-job-cancel '{"device":"mirror"}'
  hear "$a" BLOCK_JOB_COMPLETED
  qmp "$a" migrate-continue '{"state":"pre-switchover"}'
  hear "$a" '"status": "completed"'
  qmp "$b" nbd-server-stop
  qmp "$b" cont
  T0=$stopped; tock pause
  lead "$a" "$b"; lead "$b" "$b"
  T0=$start; tock total
  qemu_end "$a"
  [[ $TLS_SERVER ]] && qmp "$b" object-del '{"id":"key"}'
  on "$a"; port_forget tp0 $VM_IP $VM_MAC
}

underlay 1 2
for n in 1 2; do on $n; network_realize; done
on 1; dnsmasq_start
disk 1; truncate -s "${DISK_MIB}M" "$REPLY"
ip -n w1 tuntap add dev tp0 mode tap
qemu_on 1
port_on 1
lead 1 1; lead 2 1
qmp 1 cont
page_of vpc1 || die "no page from the guest: $(tail -c 300 "$SCRATCH/console-1")"
visits() { while :; do within vpc1 curl -s -m 10 -o /dev/null -X POST "http://$VM_IP/visit"; done; }
visits &
at=1
for ((k = 0; k < $1; k++)); do
  within_exec vpc1 ping -n -D -i 0.02 $VM_IP >"$SCRATCH/ping" 2>&1 &
  pinger=$!
  sleep 0.5
  move $at $((3 - at))
  at=$((3 - at))
  sleep 0.5
  kill -INT $pinger; wait $pinger 2>/dev/null
  awk -F'[][]' '/bytes from/ { if (last != "" && $2 - last > gap) gap = $2 - last; last = $2 }
    END { printf "sample gap %.3f\n", gap * 1000 }' "$SCRATCH/ping"
done
within vpc1 curl -s -m 5 -o /dev/null "http://$VM_IP/" || die 'the guest is broken after its moves'
exit 0
