# What a unit gives up. `unprivileged`: everything a program needs not that only opens sockets and writes its own
# folder; Node compiles code as it runs, so writable memory may become executable. `ofWorker`: what a worker can give
# up. It owns taps, namespaces and QEMU, and what it mounts below /run/netns has to outlive it, so it must stand in the
# mount namespace of the host: nothing that makes one (ProtectSystem, PrivateTmp and their like) may be set for it.
{
  unprivileged = {
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    DevicePolicy = "closed";
    LockPersonality = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateTmp = true;
    PrivateUsers = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RemoveIPC = true;
    RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_UNIX" ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [ "@system-service" "~@privileged" ];
    UMask = "0077";
  };

  ofWorker = {
    # Left out: time, reboot, kernel log, swap, accounting, profiling, checkpoints.
    CapabilityBoundingSet = [
      "CAP_AUDIT_WRITE" "CAP_CHOWN" "CAP_DAC_OVERRIDE" "CAP_DAC_READ_SEARCH" "CAP_FOWNER" "CAP_FSETID" "CAP_IPC_LOCK"
      "CAP_KILL" "CAP_LEASE" "CAP_MKNOD" "CAP_NET_ADMIN" "CAP_NET_BIND_SERVICE" "CAP_NET_BROADCAST" "CAP_NET_RAW"
      "CAP_SETFCAP" "CAP_SETGID" "CAP_SETPCAP" "CAP_SETUID" "CAP_SYS_ADMIN" "CAP_SYS_CHROOT" "CAP_SYS_MODULE"
      "CAP_SYS_NICE" "CAP_SYS_PTRACE" "CAP_SYS_RESOURCE"
    ];
    LockPersonality = true;
    NoNewPrivileges = true;
    RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_NETLINK" "AF_PACKET" "AF_UNIX" ];
    RestrictNamespaces = [ "ipc" "mnt" "net" "pid" "uts" ];
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [ "~@clock @cpu-emulation @obsolete @reboot @swap" ];
  };
}
