/**
 * The hypervisor part of the dataplane: start, resume, watch, stop, read, clean. Each change takes the lock of the
 * incarnation and checks its fence. Called by linux-dataplane.ts only.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { Call } from '../contract/call-contract.ts';
import type {
  DeviceStandings,
  IncarnationDataplane,
  IncarnationReading,
  IncarnationRef,
} from '../contract/incarnation-contract.ts';
import { dropEmptyRunFolders } from '../dataplane-site.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { runIsSent } from '../migration/migration-errors.ts';
import { readRecord } from '../migration/migration-outgoing.ts';
import { fencedChange } from '../network-operations.ts';
import { checkOwner } from '../wiring-checks.ts';
import { defaultMachineType } from './qemu-arguments.ts';
import { incarnationAlive, incarnationMissing } from './qemu-errors.ts';
import { GuestAgents } from './guest-agent.ts';
import { keepConsole, readConsole } from './qemu-console.ts';
import type { ConsoleStreams } from './qemu-console-stream.ts';
import { incarnationId, pathsOf, removeRun } from './qemu-folder.ts';
import { findIncarnation, qmpAnswerMs } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';
import { plugDevices } from './qemu-plug.ts';
import { resizeShared, type QemuRun } from './qemu-resize.ts';
import { awaitDisks, awaitStall } from './qemu-stall.ts';
import { startQemu } from './qemu-start.ts';
import { stopQemu } from './qemu-stop.ts';
import { awaitEnd } from './qemu-watch.ts';
import { sentAt, type QmpEvent } from './qmp-client.ts';

const filtersSchema = z.array(z.object({ 'main-mac': z.string() }));

export function incarnationOperations(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  consoles: ConsoleStreams,
): IncarnationDataplane {
  const change = fencedChange(site);
  const guests = new GuestAgents(site);
  const lockOf = (incarnation: IncarnationRef): string => `incarnation ${incarnationId(incarnation.owner)}`;
  /** The QEMU of a run, unless its guest may run on another host by now. */
  const present = async ({ owner }: IncarnationRef) => {
    const paths = pathsOf(site, owner);
    if ((await findIncarnation(paths)) === null) throw incarnationMissing(owner.actor);
    if ((await readRecord(paths)) !== null) throw runIsSent(owner.actor);
    return { paths, client: await sessions.client(paths) };
  };
  const tell = (
    incarnation: IncarnationRef,
    command: 'cont' | 'stop' | 'system_reset',
    call: Call,
    onEvent: (heard: QmpEvent) => void = () => {},
  ) =>
    change('incarnation', lockOf(incarnation), incarnation.owner, call, async () => {
      const { paths, client } = await present(incarnation);
      const forget = client.onEvent(onEvent);
      try {
        await client.execute(command);
        return { runStatus: await sessions.status(paths) };
      } finally {
        forget();
      }
    });
  return {
    startIncarnation: (spec, call) =>
      change('incarnation', lockOf(spec), spec.owner, call, () => startQemu(site, sessions, spec, call.fence.era)),
    resumeIncarnation: async (incarnation, call) => {
      let resumedAt: number | null = null;
      const { runStatus } = await tell(incarnation, 'cont', call, (heard) => {
        if (heard.event === 'RESUME') resumedAt = sentAt(heard);
      });
      return { runStatus, resumedAt };
    },
    pauseIncarnation: (incarnation, call) => tell(incarnation, 'stop', call),
    resetIncarnation: (incarnation, call) => tell(incarnation, 'system_reset', call),
    watchIncarnation: (incarnation, call) => {
      checkOwner(incarnation.owner);
      return awaitEnd(sessions, pathsOf(site, incarnation.owner), call.signal);
    },
    watchDisks: (incarnation, call) => {
      checkOwner(incarnation.owner);
      return awaitStall(sessions, pathsOf(site, incarnation.owner), incarnation.disks, call.signal);
    },
    awaitDisks: (incarnation, call) => {
      checkOwner(incarnation.owner);
      // The lock is held only for each attempt: a stop need not wait.
      const attempt = (work: () => Promise<void>): Promise<void> =>
        change('incarnation', lockOf(incarnation), incarnation.owner, call, work);
      return awaitDisks(site, sessions, pathsOf(site, incarnation.owner), attempt, call.signal);
    },
    resizeDisk: (resize, call) => {
      const { incarnation } = resize;
      // The lock is held only for each attempt, as above.
      const attempt = (work: (run: QemuRun) => Promise<string | null>) =>
        change('incarnation', lockOf(incarnation), incarnation.owner, call, async () =>
          work(await present(incarnation)),
        );
      return resizeShared(resize, attempt, call.signal);
    },
    plugDevices: (plug, call) => {
      const { incarnation } = plug;
      // The lock is held only for each look at a guest that has not released a device yet.
      const attempt = (work: (run: QemuRun) => Promise<DeviceStandings>) =>
        change('incarnation', lockOf(incarnation), incarnation.owner, call, async () =>
          work(await present(incarnation)),
        );
      return plugDevices(site, plug, attempt, call.signal);
    },
    stopIncarnation: (stop, call) =>
      change('incarnation', lockOf(stop.incarnation), stop.incarnation.owner, call, () =>
        stopQemu(site, sessions, stop, call),
      ),
    readConsole: (incarnation) => readConsole(site, incarnation),
    openConsole: (incarnation) => consoles.open(incarnation),
    readGuest: (incarnation) => guests.read(incarnation),
    readIncarnation: (incarnation) => readQemu(site, sessions, incarnation),
    cleanIncarnation: (incarnation, call) =>
      change('incarnation', lockOf(incarnation), incarnation.owner, call, async () => {
        checkOwner(incarnation.owner);
        const paths = pathsOf(site, incarnation.owner);
        const alive = await findIncarnation(paths, true);
        if (alive !== null) throw incarnationAlive(incarnation.owner.actor, alive.pid);
        await keepConsole(site, paths, incarnation.owner.actor);
        const removed = await removeRun(paths);
        await dropEmptyRunFolders(site);
        return { removed };
      }),
  };
}

async function readQemu(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  incarnation: IncarnationRef,
): Promise<IncarnationReading> {
  checkOwner(incarnation.owner);
  const paths = pathsOf(site, incarnation.owner);
  const identity = await findIncarnation(paths);
  if (identity === null) return { presence: 'absent', proof: null, runStatus: null, guestMacs: [] };
  try {
    const client = await sessions.client(paths);
    const [runStatus, filters, type] = await Promise.all([
      sessions.status(paths),
      client.execute('query-rx-filter', {}, qmpAnswerMs),
      client.execute('qom-get', { path: '/machine', property: 'type' }, qmpAnswerMs),
    ]);
    const machineType = typeof type === 'string' ? type.replace(/-machine$/, '') : defaultMachineType;
    const guestMacs = filtersSchema.parse(filters).map((filter) => filter['main-mac']);
    return {
      presence: 'alive',
      proof: { ...identity, qemuVersion: client.version, machineType },
      runStatus,
      guestMacs,
    };
  } catch (error) {
    if (!(error instanceof PhotonError) || error.record.group !== 'unknown') throw error;
    return {
      presence: 'hung',
      proof: { ...identity, qemuVersion: '', machineType: '' },
      runStatus: null,
      guestMacs: [],
    };
  }
}
