/**
 * Mutants that a test must catch, because the simulation cannot, or only in a seed of many: they are in code below the
 * dataplane's contract, which the simulation replaces, or need a coincidence. Each names its test.
 */
import type { Mutant } from './mutant-list.ts';

const one = (name: string, promise: string, test: string, file: string, find: string, put: string): Mutant => ({
  name,
  promise,
  test,
  patches: [{ file, find, put }],
});

const hostCommands = 'runtime/hosting/host-commands.test.ts';
const hostTimers = 'runtime/hosting/host-timers.test.ts';
const storage = 'actors/dataplane/storage-operations.test.ts';
const crashes = 'actors/dataplane/storage-crashes.test.ts';
const processes = 'actors/dataplane/process-lookup.test.ts';

export const testedMutants: readonly Mutant[] = [
  one(
    'a message without a watermark is taken, however old its sender',
    'G2',
    'runtime/hosting/watermark-pruning.test.ts',
    'runtime/hosting/input-check.ts',
    'if (watermark === 0 && message.senderUid <= actor.ahead.prunedUid)',
    'if (watermark < 0)',
  ),
  one(
    'a receipt that was forgotten while it was read counts as absent',
    'G2',
    'runtime/journal/redis-journal.test.ts',
    'runtime/journal/redis-journal.ts',
    'if (durable === null) return absent(forgotten);',
    'if (durable === null) return undefined;',
  ),
  one(
    'a node that hears nothing of the shared clock goes on as if its own did not drift',
    'G6',
    'runtime/directory/cluster-clock.test.ts',
    'runtime/directory/cluster-clock.ts',
    'return Math.floor(nowMs + this.#least - this.#driftMs(nowMs));',
    'return Math.floor(nowMs + this.#least);',
  ),
  one(
    'a volume whose VM leaves right after a move goes back to its former host',
    'K24',
    'machines/volume/volume-standby.test.ts',
    'machines/volume/volume-standby.ts',
    "event.type === 'volume.detach' && context.holder",
    "event.type !== 'volume.detach' && context.holder",
  ),
  one(
    'a port is given back while its guest still has the NIC',
    'K4',
    'machines/vm/vm-nic-plugs.test.ts',
    'machines/vm/vm-plugs.ts',
    "context.plugs[id]?.phase === 'removing' && !of.has(id)",
    "context.plugs[id]?.phase === 'removing'",
  ),
  one(
    'the end of an earlier segment starts another',
    'G11',
    'machines/vpc/vpc-fencing.test.ts',
    'machines/vpc/vpc-messages.ts',
    'if (!view.removing && contexts.isLate(view, event.heard)) return nothing;',
    '',
  ),
  one(
    'stored rows win over rows in flight when a whole collection is read',
    'G2',
    hostCommands,
    'runtime/hosting/input-check.ts',
    'const all = { ...(stored as Record<string, unknown> | null), ...(changed as Record<string, unknown>) };',
    'const all = { ...(changed as Record<string, unknown>), ...(stored as Record<string, unknown> | null) };',
  ),
  one(
    'the heap of timers is reversed when cancelled ones are swept',
    'G6',
    hostTimers,
    'runtime/hosting/timer-queue.ts',
    '.sort((one, other) => one.atMs - other.atMs)',
    '.sort((one, other) => other.atMs - one.atMs)',
  ),
  one(
    'a feed that broke is followed again from now',
    'watch',
    'runtime/control-api/watch.test.ts',
    'runtime/control-api/watch-hub.ts',
    'await pause(clock, pauseMs * (0.5 + random.fraction()), signal);',
    'await pause(clock, pauseMs * (0.5 + random.fraction()), signal); cursor = await reader.now();',
  ),
  one(
    'an archived run of another actor is accepted',
    'G10',
    'runtime/archive/archived-history.test.ts',
    'runtime/archive/archived-history.ts',
    'run.actor !== id || run.last',
    'run.last',
  ),
  one(
    'only the first header extension of a qcow2 is read',
    'T7',
    storage,
    'actors/dataplane/image/image-header.ts',
    'at += 8 + Math.ceil(length / 8) * 8;',
    'return;',
  ),
  one(
    "a process's start time is not compared",
    'One run',
    processes,
    'actors/dataplane/process-lookup.ts',
    'return (await identifyProcess(identity.pid))?.startTime === identity.startTime;',
    'return (await identifyProcess(identity.pid)) !== null;',
  ),
  one(
    "the pidfile of a QEMU is believed without a look at the process's command line",
    'One run',
    processes,
    'actors/dataplane/hypervisor/qemu-session.ts',
    'if (pid !== null && (isOf(paths, await commandLineOf(pid)) || (await isDying(pid)))) return',
    'if (pid !== null) return',
  ),
  one(
    "the pidfile of a dnsmasq is believed without a look at the process's command line",
    'Proof',
    processes,
    'actors/dataplane/dhcp/dhcp-server.ts',
    "const config = words.find((word) => word.startsWith('--conf-file='))?.slice('--conf-file='.length);",
    "const config = path.join(folder, words.find((word) => word.startsWith('--conf-file=')) ?? 'c');",
  ),
  {
    name: "a replica's owner is removed before its file",
    promise: 'T18',
    test: crashes,
    patches: [
      {
        file: 'actors/dataplane/volume/replica-store.ts',
        find: 'if (found !== null) await rm(found.file, { force: true });',
        put: '',
      },
      {
        file: 'actors/dataplane/volume/replica-store.ts',
        find: 'await rm(replicaOwnerPath(site.folders.volumes, volumeUid), { force: true });',
        put: `await rm(replicaOwnerPath(site.folders.volumes, volumeUid), { force: true });
              if (found !== null) await rm(found.file, { force: true });`,
      },
    ],
  },
  one(
    'an older owner may remove a replica',
    'T18',
    crashes,
    'actors/dataplane/volume/replica-store.ts',
    'refuseOlder(`volume ${ref.volumeUid}`, ref.owner, await readReplicaOwner(site, ref.volumeUid));',
    '',
  ),
  {
    name: 'a file gets its final name before its content is on the disk',
    promise: 'T11',
    test: crashes,
    patches: [
      {
        file: 'actors/dataplane/storage-files.ts',
        find: 'name = await fill(fresh, handle);\n      await handle.sync();',
        put: 'name = await fill(fresh, handle);',
      },
    ],
  },
  one(
    'a restoration is made again when its request is repeated',
    'K26',
    'actors/dataplane/volume/replica-filling.test.ts',
    'actors/dataplane/volume/replica-filling.ts',
    'return uid !== null && uid !== (await',
    'return uid !== null && uid === (await',
  ),
  one(
    'the answer to another request counts as a restoration',
    'K26',
    'machines/volume/volume-filling.test.ts',
    'machines/volume/volume-filling.ts',
    '(seen.event.restore ?? null) === (seen.context.filling?.restore ?? null);',
    "seen.event.type.startsWith('replica.');",
  ),
  one(
    'a volume whose VM leaves right after a move goes back to the former host',
    'K24',
    'machines/volume/volume-standby.test.ts',
    'machines/volume/volume-machine.ts',
    "{ guard: 'holderLeavesMoved', target: 'available', actions: ['activate', 'letGo', 'forgetResizing'] },",
    '',
  ),
  one(
    'what a given-up run still sends is let through',
    'K1',
    'actors/dataplane/overlay/fences-packets.test.ts',
    'actors/dataplane/overlay/fence-table.ts',
    'ether saddr . ip saddr @senders drop`',
    'ether saddr . ip saddr @senders accept`',
  ),
  one(
    'what a given-up run still sends into a peered VPC is let through',
    'K1',
    'actors/dataplane/overlay/fences-packets.test.ts',
    'actors/dataplane/overlay/fences-section.ts',
    'await spreadFences(site, link, senders);',
    '',
  ),
  one(
    'a port is bound elsewhere before the other hosts drop what its silent host sends',
    'K1',
    'machines/port/port-loss.test.ts',
    'machines/port/port-loss.ts',
    'unfenced(context).length === 0;',
    'unfenced(context).length >= 0;',
  ),
  one(
    'a VM gives up its run while the network may be at fault',
    'K1',
    'machines/cluster/cluster-loss.test.ts',
    'machines/cluster/cluster-loss.ts',
    '  if (isBroken(hosts)) {\n    const message =',
    '  if (Object.keys(hosts).length === 0) {\n    const message =',
  ),
  one(
    'a new run has the epoch that a migration had prepared',
    'K1',
    'machines/vm/vm-loss.test.ts',
    'machines/vm/vm-loss.ts',
    'isPrepared ? nextEpoch(context) : runEpoch',
    'isPrepared ? runEpoch : runEpoch',
  ),
];
