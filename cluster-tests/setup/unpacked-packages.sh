# QEMU, the guest kernel and agent, Valkey 8 and cloud-init: Debian packages that are unpacked below .cache, never
# installed. Not the place for packages the host itself needs (debian-packages.sh). Sourced by run.sh, under its lock.
# Promise: the host's apt sources and package lists stay as they are; a folder in .cache is there complete or not at
# all.

apt_folder=${apt_folder:-/etc/apt}
# Below it a mirror may miss what the guest writes while it starts, and QEMU may not say that a guest stands still.
qemu_floor=10.0.13
qemu_release=trixie # The release that has it.
valkey_floor=8 # The second server the suite runs on; it has WAITAOF.

# Prints "<uri> <keyring or ->" of the first enabled source of the suite $1, from deb822 and one-line files.
host_source() {
  for file in "$apt_folder"/sources.list.d/*.sources; do
    [ -r "$file" ] || continue
    awk -v wanted="$1" '
      function flush(  list, count, i) {
        if (types ~ /(^| )deb( |$)/ && enabled != "no" && uri != "") {
          count = split(suites, list, " ")
          for (i = 1; i <= count; i++) if (list[i] == wanted) { print uri, (key ~ /^\// ? key : "-"); exit }
        }
        types = ""; suites = ""; uri = ""; key = ""; enabled = ""
      }
      /^#/ { next }
      /^[ \t]*$/ { flush(); next }
      { value = $0; sub(/^[^:]*:[ \t]*/, "", value); sub(/[ \t]+$/, "", value) }
      tolower($1) == "types:" { types = value }
      tolower($1) == "suites:" { suites = value }
      tolower($1) == "uris:" { split(value, first, " "); uri = first[1] }
      tolower($1) == "signed-by:" { key = value }
      tolower($1) == "enabled:" { enabled = tolower(value) }
      END { flush() }' "$file"
  done | head -n 1
}

one_line_source() {
  for file in "$apt_folder"/sources.list "$apt_folder"/sources.list.d/*.list; do
    [ -r "$file" ] || continue
    awk -v wanted="$1" '
      $1 != "deb" { next }
      {
        line = $0; key = "-"
        if (match(line, /\[[^]]*\]/)) {
          options = substr(line, RSTART + 1, RLENGTH - 2)
          line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
          if (match(options, /signed-by=[^ ]+/)) key = substr(options, RSTART + 10, RLENGTH - 10)
        }
        split(line, word, " ")
        if (word[3] == wanted) { print word[2], key; exit }
      }' "$file"
  done | head -n 1
}

# Writes the private list: the host's own mirror and key, and the host's release (or the one that is wanted), with its
# updates, security, and backports.
write_private_sources() {
  host_codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  codename=${other_release:-$host_codename}
  origin=$(host_source "$host_codename")
  [ -n "$origin" ] || origin=$(one_line_source "$host_codename")
  [ -n "$origin" ] || stop_with "No apt source for Debian $host_codename in /etc/apt; cannot download packages." \
    "Add a Debian mirror to /etc/apt/sources.list and run this again."
  security=$(host_source "$host_codename-security")
  [ -n "$security" ] || security=$(one_line_source "$host_codename-security")
  mkdir -p "$private/lists/partial" "$private/archives/partial"
  {
    for suite in "$codename" "$codename-updates" "$codename-backports"; do source_line "$origin" "$suite"; done
    [ -z "$security" ] || source_line "$security" "$codename-security"
  } > "$private/private.list"
}

source_line() {
  uri=${1% *}
  key=${1##* }
  [ "$key" != - ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
  printf 'deb [signed-by=%s] %s %s main\n' "$key" "$uri" "$2"
}

# apt-get or apt-cache on the private list; knows what the host has installed (of another release: nothing, so that
# everything is downloaded that it needs), changes nothing of the host.
private_apt() {
  program=$1
  shift
  "$program" -qq -o Dir::Etc::SourceList="$private/private.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$private/lists" -o Dir::Cache::Archives="$private/archives" \
    -o Dir::Cache::pkgcache="$private/pkgcache.bin" -o Dir::Cache::srcpkgcache="$private/srcpkgcache.bin" \
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Post-Invoke="" \
    -o Debug::NoLocking=true ${other_release:+-o Dir::State::status=/dev/null} "$@"
}

refresh_private_lists() {
  [ -z "${private_lists_fresh:-}" ] || return 0
  write_private_sources
  private_apt apt-get update >&2 || stop_with "apt could not read the private package lists (messages above)." \
    "Check the network and the mirror named in /etc/apt, then run this again."
  private_lists_fresh=1
}

# Whether $1 is a QEMU of at least the version $2.
is_qemu_from() {
  found=$("$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p')
  [ -n "$found" ] && [ "$(printf '%s\n%s\n' "$2" "$found" | sort -V | head -n 1)" = "$2" ]
}

# Sets qemu_binary, and qemu_firmware: its folder. Beside the binary are qemu-img and qemu-storage-daemon.
ensure_qemu() {
  qemu_binary=$(command -v qemu-system-x86_64 || true) qemu_firmware=/usr/share/qemu
  [ -z "$qemu_binary" ] || ! is_qemu_from "$qemu_binary" "$qemu_floor" || return 0
  if ! on_debian && [ -n "$qemu_binary" ]; then
    say "the host's QEMU ${found:-} is older than $qemu_floor, which mends faults in copying disks; better update it"
    return 0
  fi
  qemu_binary=$cache/qemu/bin/qemu-system-x86_64 qemu_firmware=$cache/qemu/usr/share/qemu
  ! is_qemu_from "$qemu_binary" "$qemu_floor" || return 0
  say "unpacking QEMU $qemu_floor of Debian $qemu_release, with its libraries, into .cache/qemu (39 MB)"
  (
    private=$cache/apt-$qemu_release other_release=$qemu_release private_lists_fresh=''
    download_from '' "QEMU $qemu_floor" qemu-system-x86 qemu-utils
    unpack_archives qemu finish_qemu
    rm -rf "$private"
  ) || exit 1
  is_qemu_from "$qemu_binary" "$qemu_floor" || stop_with "The unpacked $qemu_binary does not run as QEMU $qemu_floor." \
    "Install QEMU $qemu_floor or newer."
}

# The programs of another release need its own loader and libraries. The loader gets the name of the program that it
# runs, because that is the name of the process. $1 is the root of the unpacked packages, which may be moved.
finish_qemu() {
  link_firmware "$1"
  rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale
  mkdir "$1/bin" "$1/usr/loader"
  for program in qemu-system-x86_64 qemu-img qemu-storage-daemon; do
    ln "$1/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$1/usr/loader/$program"
    cat > "$1/bin/$program" <<'X'
#!/bin/sh
root=${0%/*}/../usr
exec "$root/loader/${0##*/}" --library-path "$root/lib/x86_64-linux-gnu" "$root/bin/${0##*/}" "$@"
X
    chmod 755 "$1/bin/$program"
  done
}

download_from_backports() { download_from -backports "$@"; }

# The packages $3... and exactly what they need and this host lacks, into the private archives, from this release with
# the suffix $1; $2 says what they are.
download_from() {
  suffix=$1 wanted=$2
  shift 2
  refresh_private_lists
  rm -f "$private"/archives/*.deb
  private_apt apt-get install -y --download-only --no-install-recommends -t "$codename$suffix" "$@" >&2 \
    || stop_with "apt could not download $wanted from $codename$suffix (messages above)." \
      "Check that the mirror in /etc/apt carries $codename$suffix, or install $wanted yourself."
}

# The major version of the Valkey binary $1, run with the library path $2; 0 when it does not run.
valkey_major() {
  version=$(LD_LIBRARY_PATH=${2:-} "$1" --version 2>/dev/null | sed -n 's/^.* v=\([0-9]*\)\..*/\1/p')
  printf '%s' "${version:-0}"
}

# Sets valkey_binary and valkey_libraries (empty for a Valkey of the host). Where there is no Debian and no Valkey 8,
# valkey_binary stays empty, and the tests that want one say so.
ensure_valkey() {
  valkey_binary=$(command -v valkey-server || true) valkey_libraries=
  [ -z "$valkey_binary" ] || [ "$(valkey_major "$valkey_binary")" -lt "$valkey_floor" ] || return 0
  valkey_binary=
  on_debian || return 0
  valkey_binary=$cache/valkey/usr/bin/valkey-server
  valkey_libraries=$cache/valkey/usr/lib/x86_64-linux-gnu:$cache/valkey/lib/x86_64-linux-gnu
  [ "$(valkey_major "$valkey_binary" "$valkey_libraries")" -lt "$valkey_floor" ] || return 0
  say "unpacking Valkey $valkey_floor from Debian's backports into .cache/valkey"
  download_from_backports "Valkey $valkey_floor" valkey-server valkey-tools
  unpack_archives valkey
  [ "$(valkey_major "$valkey_binary" "$valkey_libraries")" -ge "$valkey_floor" ] || {
    LD_LIBRARY_PATH=$valkey_libraries ldd "$valkey_binary" 2>&1 | grep 'not found' >&2
    stop_with "The unpacked $valkey_binary does not run as Valkey $valkey_floor." \
      "Install the libraries named above, or Valkey $valkey_floor or newer."
  }
}

# .cache/cloud-init: Debian's cloud-init, and a reader of ISO 9660, for the test of seed disks (2 MB). Elsewhere than on
# Debian there is none, and the test says so.
ensure_cloud_init() {
  on_debian || return 0
  [ ! -s "$cache/cloud-init/usr/bin/cloud-init" ] || return 0
  say "unpacking Debian's cloud-init, for a test, into .cache/cloud-init"
  download_from '' cloud-init cloud-init python3-pycdlib
  unpack_archives cloud-init
}

# .cache/guest-agent: the QEMU guest agent, for a test. Unpacked, because its package would start it in a VM.
ensure_guest_agent() {
  on_debian || return 0
  [ ! -s "$cache/guest-agent/usr/sbin/qemu-ga" ] || return 0
  ! command -v qemu-ga >/dev/null || return 0
  say "unpacking Debian's QEMU guest agent, for a test, into .cache/guest-agent"
  download_from '' 'the QEMU guest agent' qemu-guest-agent
  unpack_archives guest-agent
}

# .cache/guest-kernel/boot/vmlinuz-* and lib/modules: the kernel that guests boot.
ensure_guest_kernel() {
  for image in "$cache"/guest-kernel/boot/vmlinuz-*; do
    [ ! -s "$image" ] || return 0
  done
  say "unpacking Debian's cloud kernel for guests into .cache/guest-kernel"
  refresh_private_lists
  kernel=$(private_apt apt-cache show -t "$codename" --no-all-versions linux-image-cloud-amd64 \
    | sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n 1)
  [ -n "$kernel" ] || stop_with "The mirror has no linux-image-cloud-amd64 for $codename." \
    "Check /etc/apt and run this again."
  rm -f "$private"/archives/*.deb
  (cd "$private/archives" && private_apt apt-get download "$kernel" >&2) \
    || stop_with "apt could not download $kernel (messages above)." "Check the network and run this again."
  unpack_archives guest-kernel
}

# QEMU takes one firmware folder (-L); Debian spreads the files over three. $1 is the root of the unpacked packages.
link_firmware() {
  for file in "$1"/usr/share/seabios/*.bin; do
    [ ! -e "$file" ] || ln -sf "../seabios/${file##*/}" "$1/usr/share/qemu/"
  done
  for file in "$1"/usr/lib/ipxe/qemu/*.rom; do
    [ ! -e "$file" ] || ln -sf "../../lib/ipxe/qemu/${file##*/}" "$1/usr/share/qemu/"
  done
}

# Unpacks every downloaded package into .cache/$1, by way of a folder that the next run removes if this one is cut off.
# $2, when given, is a function that finishes that folder.
unpack_archives() {
  rm -rf "$cache/$1.partial"
  mkdir -p "$cache/$1.partial"
  for archive in "$private"/archives/*.deb; do
    dpkg-deb -x "$archive" "$cache/$1.partial" || stop_with "dpkg-deb could not unpack $archive." "Run this again."
  done
  [ -z "${2:-}" ] || "$2" "$cache/$1.partial"
  rm -rf "${cache:?}/$1" "$private"/archives/*.deb
  mv "$cache/$1.partial" "$cache/$1"
}
