/**
 * The TCP ports of a host's underlay address at which QEMU serves other hosts, besides the node's own listener. The
 * firewall of a host has to let them through (nix/modules/worker.nix does); nobody gets a connection there without the
 * key of the export or of the migration. They lie below the ports that the kernel gives to outgoing connections, which
 * could take one while nobody listens.
 */

/** Volumes that another host uses; each keeps its port. */
export const exportPorts = { first: 21_000, last: 24_999 } as const;
/** A guest that comes from another host: its memory, and its local volumes. */
export const migrationPorts = { first: 25_000, last: 25_999 } as const;
