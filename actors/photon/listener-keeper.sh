#!/bin/sh
# usage: listener-keeper.sh PROGRAM [ARGUMENT...]
#
# Keeps the listening sockets that photon supervise has opened as descriptors 3 and up, and runs the program with them
# until SIGTERM or SIGINT: again a second after it ended by itself, and at once after SIGHUP, by which a new release
# begins. It never reads from the sockets, so connections wait in their backlog while there is no program. A shell,
# because it has to be small and cannot fail: it is all that stands between the address and others. LISTEN_FDS and
# LISTEN_FDNAMES are set by photon supervise; the process that the sockets are for knows its own id only once it runs.
ending=
tell() { [ -z "$service" ] || kill -TERM "$service" 2>/dev/null; }
trap 'ending=1; tell' TERM INT
trap 'renewing=1; tell' HUP
while [ -z "$ending" ]; do
  renewing=
  sh -c 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"' sh "$@" &
  service=$!
  [ -z "$ending" ] || tell
  wait "$service"
  # A signal ends the wait, and not yet the program.
  while kill -0 "$service" 2>/dev/null; do wait "$service"; done
  service=
  [ -n "$ending$renewing" ] || { sleep 1 3>&- 4>&- & wait $!; }
done
