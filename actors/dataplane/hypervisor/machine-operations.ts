/**
 * The hypervisor half of the port: start, resume, watch, stop, read, clean; each behind its fence and the machine's
 * lock. Called by linux-dataplane.ts only.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { MachineDataplane, MachineReading, MachineRef } from '../contract/machine-contract.ts';
import { dropEmptyRunFolders } from '../dataplane-site.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fencedChange } from '../network-operations.ts';
import { checkOwner } from '../wiring-checks.ts';
import { defaultMachineType } from './machine-arguments.ts';
import { machineAlive, machineMissing } from './machine-errors.ts';
import { machineId, placeOf, removePlace } from './machine-folder.ts';
import { findMachine, qmpAnswerMs } from './machine-session.ts';
import type { MachineSessions } from './machine-session.ts';
import { startQemu } from './machine-start.ts';
import { stopQemu } from './machine-stop.ts';
import { awaitEnd } from './machine-watch.ts';

const filtersSchema = z.array(z.object({ 'main-mac': z.string() }));

export function machineOperations(site: DataplaneSite, sessions: MachineSessions): MachineDataplane {
  const change = fencedChange(site);
  const lockOf = (machine: MachineRef): string => `machine ${machineId(machine.owner)}`;
  return {
    startMachine: (spec, call) =>
      change('machine', lockOf(spec), spec.owner, call, () => startQemu(site, sessions, spec, call.fence.era)),
    resumeMachine: (machine, call) =>
      change('machine', lockOf(machine), machine.owner, call, async () => {
        const place = placeOf(site, machine.owner);
        if ((await findMachine(place)) === null) throw machineMissing(machine.owner.actor);
        await (await sessions.client(place)).execute('cont');
        return { runStatus: await sessions.status(place) };
      }),
    watchMachine: (machine, call) => {
      checkOwner(machine.owner);
      return awaitEnd(sessions, placeOf(site, machine.owner), call.signal);
    },
    stopMachine: (stop, call) =>
      change('machine', lockOf(stop.machine), stop.machine.owner, call, () =>
        stopQemu(site, sessions, stop, call.signal),
      ),
    readMachine: (machine) => readQemu(site, sessions, machine),
    cleanMachine: (machine, call) =>
      change('machine', lockOf(machine), machine.owner, call, async () => {
        checkOwner(machine.owner);
        const place = placeOf(site, machine.owner);
        const alive = await findMachine(place, true);
        if (alive !== null) throw machineAlive(machine.owner.actor, alive.pid);
        const removed = await removePlace(place);
        await dropEmptyRunFolders(site);
        return { removed };
      }),
  };
}

async function readQemu(site: DataplaneSite, sessions: MachineSessions, machine: MachineRef): Promise<MachineReading> {
  checkOwner(machine.owner);
  const place = placeOf(site, machine.owner);
  const sight = await findMachine(place);
  if (sight === null) return { presence: 'absent', proof: null, runStatus: null, guestMacs: [] };
  try {
    const client = await sessions.client(place);
    const [runStatus, filters, type] = await Promise.all([
      sessions.status(place),
      client.execute('query-rx-filter', {}, qmpAnswerMs),
      client.execute('qom-get', { path: '/machine', property: 'type' }, qmpAnswerMs),
    ]);
    const machineType = typeof type === 'string' ? type.replace(/-machine$/, '') : defaultMachineType;
    const guestMacs = filtersSchema.parse(filters).map((filter) => filter['main-mac']);
    return { presence: 'alive', proof: { ...sight, qemuVersion: client.version, machineType }, runStatus, guestMacs };
  } catch (error) {
    if (!(error instanceof PhotonError) || error.record.group !== 'unknown') throw error;
    return { presence: 'hung', proof: { ...sight, qemuVersion: '', machineType: '' }, runStatus: null, guestMacs: [] };
  }
}
