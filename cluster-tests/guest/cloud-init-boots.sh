# Runs Debian's cloud-init on seed disks, one boot after the other, in a system of its own: this machine's root folder
# with the unpacked packages over it and nothing written back, namespaces for mounts, network and host name, and a /dev
# with the one disk. Called by cloud-init.test.ts:
#   unshare ... sh cloud-init-boots.sh PACKAGES WORK RENDERER STAGES SEED...
# STAGES is `local`, which configures the network, or `all`, which also does what the user data says.
# Prints, for each boot, sections that begin with `== NAME`.
set -eu
packages=$1 work=$2 renderer=$3 stages=$4
shift 4
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

mount -t tmpfs none "$work"
mkdir "$work/upper" "$work/work" "$work/root"
cp -a "$packages/usr" "$packages/etc" "$work/upper/"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
root=$work/root
mount -t proc none "$root/proc"
mount -t sysfs none "$root/sys"
mount -t tmpfs none "$root/dev"
mount -t tmpfs none "$root/run"
for device in null zero random urandom; do cp -a "/dev/$device" "$root/dev/"; done

# Names that are not those of the declaration, in another order: only the MAC tells which is which.
ip link add name ens9 address 02:50:0a:00:00:05 type veth peer name far0
ip link add name ens3 address 02:50:0a:00:01:05 type veth peer name far1

rm -rf "$root/var/lib/cloud" "$root/etc/cloud/cloud.cfg.d" "$root/etc/network" "$root/etc/netplan"
mkdir -p "$root/etc/network" "$root/etc/netplan" "$root/etc/systemd/network"
: > "$root/etc/network/interfaces"
echo unnamed > "$root/etc/hostname"
# cloud-init looks for the programs of a renderer before it uses it.
for program in ifup ifdown ifquery netplan systemctl; do
  program=usr/sbin/$program
  printf '#!/bin/sh\nexit 0\n' > "$root/$program"
  chmod 755 "$root/$program"
done
install -m 755 "$here/cloud-init-mount.py" "$root/usr/local/sbin/mount"
cat > "$root/etc/cloud/cloud.cfg" <<END
datasource_list: [NoCloud]
users: [default]
preserve_hostname: false
cloud_init_modules: [write-files, set_hostname, users-groups, ssh]
cloud_config_modules: []
cloud_final_modules: []
ssh_deletekeys: false
ssh_genkeytypes: []
system_info:
  distro: debian
  default_user: {name: debian, lock_passwd: true, shell: /bin/sh}
  network: {renderers: ['$renderer']}
END

show() {
  echo "== $1"
  shift
  for file in "$@"; do [ ! -f "$file" ] || cat "$file"; done
}

for seed in "$@"; do
  loop=$(losetup --find --show --read-only "$seed")
  cp -a "$loop" "$root/dev/"
  hostname "$(cat "$root/etc/hostname")" # as a system does before cloud-init
  umount "$root/run"
  mount -t tmpfs none "$root/run"
  chroot "$root" cloud-init init --local > "$work/local.log" 2>&1 || true
  [ "$stages" = local ] || chroot "$root" cloud-init init > "$work/network.log" 2>&1 || true
  losetup --detach "$loop"
  rm "$root/dev/${loop##*/}"
  echo "== boot"
  show hostname /proc/sys/kernel/hostname
  show instance "$root/var/lib/cloud/data/instance-id"
  show network "$root"/etc/network/interfaces.d/* "$root"/etc/netplan/* "$root"/etc/systemd/network/*
  show keys "$root/home/debian/.ssh/authorized_keys"
  show written "$root/written"
  echo "== failures"
  grep -h -E 'Traceback|Failed|ERROR' "$work"/*.log || true
done
