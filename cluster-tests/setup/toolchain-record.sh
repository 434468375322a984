# Writes .cache/toolchain.json, the one place where programs look up what set-up found:
#   node         Node 24
#   qemu         null, or binary and libDir (firmware, for -L)
#   valkey       null, or binary and libraryPath (for LD_LIBRARY_PATH; absent for a Valkey of the host)
#   guestKernel  null, or a folder with boot/vmlinuz-* and lib/modules
#   limit        null, or why the real-kernel tests cannot run here

record_toolchain() {
  qemu_record=null valkey_record=null kernel_record=null limit_record=null
  [ -z "$limit" ] || limit_record="\"$limit\""
  if [ -n "$qemu_binary" ]; then
    kernel_record="\"$cache/guest-kernel\""
    qemu_record="{
    \"binary\": \"$qemu_binary\",
    \"libDir\": \"$qemu_firmware\"
  }"
  fi
  [ -z "$valkey_binary" ] || valkey_record="{
    \"binary\": \"$valkey_binary\"$(library_line "$valkey_libraries")
  }"
  record="{
  \"node\": \"$node\",
  \"qemu\": $qemu_record,
  \"valkey\": $valkey_record,
  \"guestKernel\": $kernel_record,
  \"limit\": $limit_record
}"
  [ "$record" != "$(cat "$cache/toolchain.json" 2>/dev/null)" ] || return 0
  printf '%s\n' "$record" > "$cache/toolchain.json.$$"
  mv "$cache/toolchain.json.$$" "$cache/toolchain.json"
}

# The record's line for a library path; nothing for a program of the host.
library_line() {
  [ -z "$1" ] || printf ',\n    "libraryPath": "%s"' "$1"
}
