# QEMU 10, the guest kernel and Valkey 8: Debian packages that are unpacked below .cache, never installed.
# Not the place for packages the host itself needs (debian-packages.sh). Sourced by run.sh, under its lock.
# Promise: the host's apt sources and package lists stay as they are; a folder in .cache is there complete or not at
# all.

apt_folder=${apt_folder:-/etc/apt}
qemu_floor=10 # Below it a live migration under software emulation corrupts guests.
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

# Writes the private list: the host's own mirror and key, its release, updates, security, and backports.
write_private_sources() {
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  origin=$(host_source "$codename")
  [ -n "$origin" ] || origin=$(one_line_source "$codename")
  [ -n "$origin" ] || stop_with "No apt source for Debian $codename in /etc/apt; cannot download packages." \
    "Add a Debian mirror to /etc/apt/sources.list and run this again."
  security=$(host_source "$codename-security")
  [ -n "$security" ] || security=$(one_line_source "$codename-security")
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

# apt-get or apt-cache on the private list; knows what the host has installed, changes nothing of the host.
private_apt() {
  program=$1
  shift
  "$program" -qq -o Dir::Etc::SourceList="$private/private.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$private/lists" -o Dir::Cache::Archives="$private/archives" \
    -o Dir::Cache::pkgcache="$private/pkgcache.bin" -o Dir::Cache::srcpkgcache="$private/srcpkgcache.bin" \
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Post-Invoke="" \
    -o Debug::NoLocking=true "$@"
}

refresh_private_lists() {
  [ -z "${private_lists_fresh:-}" ] || return 0
  write_private_sources
  private_apt apt-get update >&2 || stop_with "apt could not read the private package lists (messages above)." \
    "Check the network and the mirror named in /etc/apt, then run this again."
  private_lists_fresh=1
}

# The major version of the QEMU binary $1, run with the library path $2; 0 when it does not run.
qemu_major() {
  version=$(LD_LIBRARY_PATH=${2:-} "$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
  printf '%s' "${version:-0}"
}

# Sets qemu_binary, qemu_firmware and qemu_libraries (empty for a QEMU of the host).
ensure_qemu() {
  host_qemu=$(command -v qemu-system-x86_64 || true)
  if [ -n "$host_qemu" ] && [ "$(qemu_major "$host_qemu")" -ge "$qemu_floor" ]; then
    qemu_binary=$host_qemu qemu_firmware=/usr/share/qemu qemu_libraries=
    return 0
  fi
  qemu_binary=$cache/qemu/usr/bin/qemu-system-x86_64
  qemu_firmware=$cache/qemu/usr/share/qemu
  qemu_libraries=$cache/qemu/usr/lib/x86_64-linux-gnu:$cache/qemu/lib/x86_64-linux-gnu
  [ "$(qemu_major "$qemu_binary" "$qemu_libraries")" -lt "$qemu_floor" ] || return 0
  say "unpacking QEMU $qemu_floor from Debian's backports into .cache/qemu"
  download_from_backports "QEMU $qemu_floor" qemu-system-x86 qemu-system-common qemu-system-data
  unpack_archives qemu link_firmware
  [ "$(qemu_major "$qemu_binary" "$qemu_libraries")" -ge "$qemu_floor" ] || {
    LD_LIBRARY_PATH=$qemu_libraries ldd "$qemu_binary" 2>&1 | grep 'not found' >&2
    stop_with "The unpacked $qemu_binary does not run as QEMU $qemu_floor." \
      "Install the libraries named above, or QEMU $qemu_floor or newer."
  }
}

# The packages $2... and exactly the libraries this host lacks, into the private archives; $1 says what they are.
download_from_backports() {
  wanted=$1
  shift
  refresh_private_lists
  rm -f "$private"/archives/*.deb
  private_apt apt-get install -y --download-only --no-install-recommends -t "$codename-backports" "$@" >&2 \
    || stop_with "apt could not download $wanted from $codename-backports (messages above)." \
      "Check that the mirror in /etc/apt carries $codename-backports, or install $wanted yourself."
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
