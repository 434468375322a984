# Writes .cache/toolchain.json, the one place where programs look up what set-up found:
#   node         Node 24
#   qemu         null, or binary, libDir (firmware, for -L), libraryPath (for LD_LIBRARY_PATH; absent for a QEMU of the
#                host)
#   guestKernel  null, or a folder with boot/vmlinuz-* and lib/modules
#   limit        null, or why the real-kernel tests cannot run here

record_toolchain() {
  library_line=
  [ -z "${qemu_libraries:-}" ] || library_line=",
    \"libraryPath\": \"$qemu_libraries\""
  qemu_record=null kernel_record=null limit_record=null
  [ -z "$limit" ] || limit_record="\"$limit\""
  if [ -n "$qemu_binary" ]; then
    kernel_record="\"$cache/guest-kernel\""
    qemu_record="{
    \"binary\": \"$qemu_binary\",
    \"libDir\": \"$qemu_firmware\"$library_line
  }"
  fi
  record="{
  \"node\": \"$node\",
  \"qemu\": $qemu_record,
  \"guestKernel\": $kernel_record,
  \"limit\": $limit_record
}"
  [ "$record" != "$(cat "$cache/toolchain.json" 2>/dev/null)" ] || return 0
  printf '%s\n' "$record" > "$cache/toolchain.json.$$"
  mv "$cache/toolchain.json.$$" "$cache/toolchain.json"
}
