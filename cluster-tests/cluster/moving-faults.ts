/**
 * Faults that are injected while a VM moves: programs that are killed, stopped or started anew, cut networks, a full
 * disk, and other commands about the same VM. Each returns what undoes it. The table of cases is in moving-cases.ts;
 * those of any cluster are in nemesis.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { startNode } from './cluster-launch.ts';
import { killInside, type SeenProcess } from './crash-sight.ts';
import { tenant } from './crash-tenant.ts';
import { printOf } from './moving-print.ts';
import { codeOf, movers, openRules, vmParamsOf, type MovingScene, type Subject } from './moving-scene.ts';
import { killed, parted, stopped, storeKilled } from './nemesis.ts';
import { findProgram } from './node-program.ts';
import { isAlive, signal, until } from './process-identity.ts';
import { insideFolder } from './topology-record.ts';

/** A migration under way. */
export interface Moving {
  readonly scene: MovingScene;
  readonly subject: Subject;
  readonly from: string;
  readonly to: string;
}

/** @returns undoes it @throws NotThere when what it is about has ended before */
export type MoveFault = (moving: Moving) => Promise<() => Promise<void>>;

/** What the fault is about does not exist at this step: the case says nothing. */
export class NotThere extends Error {}

type End = 'from' | 'to';
const nothing = async (): Promise<void> => {};

export const killWorker =
  (end: End): MoveFault =>
  (moving) =>
    killed(moving[end]).inject(moving.scene.cluster);

/** The one that has the migration's shard. */
export const killController: MoveFault = async ({ scene, subject }) =>
  await killed(await scene.ownerOf(subject.migration)).inject(scene.cluster);

export const killStore: MoveFault = ({ scene }) => storeKilled('s1').inject(scene.cluster);

async function qemuAt({ scene, subject }: Moving, node: string): Promise<SeenProcess> {
  const mac = await scene.macOf(subject);
  const [pid] = await qemusWith(scene, node, mac);
  if (pid === undefined) throw new NotThere(`no QEMU of ${subject.vm} is on ${node}`);
  return { pid: Number(pid), startTime: '', words: '' };
}

/** Pids inside the node; a sight has only the beginning of a command line. */
async function qemusWith({ cluster }: MovingScene, node: string, mac: string): Promise<string[]> {
  const argv = ['sh', '-c', `pgrep -f '^[^ ]*qemu-system.*${mac}' || true`];
  return (await cluster.topology.exec(node, argv)).trim().split('\n').filter(Boolean);
}

export const killQemu =
  (end: End): MoveFault =>
  async (moving) => {
    await killInside(moving.scene.cluster.topology, moving[end], await qemuAt(moving, moving[end]));
    return nothing;
  };

export const stopQemu =
  (end: End): MoveFault =>
  async (moving) => {
    const { pid } = await qemuAt(moving, moving[end]);
    const send = (name: string): Promise<string> =>
      moving.scene.cluster.topology.exec(moving[end], ['kill', name, String(pid)]);
    await send('-STOP');
    // It may have been killed meanwhile.
    return async () => void (await send('-CONT').catch(() => undefined));
  };

export const stopWorker =
  (end: End): MoveFault =>
  (moving) =>
    stopped(moving[end]).inject(moving.scene.cluster);

/** As an upgrade does it. */
export const restartWorker =
  (end: End): MoveFault =>
  async ({ scene: { cluster }, ...ends }) => {
    const name = ends[end];
    const program = findProgram(cluster.topology, name, 'worker');
    signal(program, 'SIGTERM');
    return async () => {
      await until(`the worker of ${name} has ended`, () => !isAlive(program));
      await startNode(cluster.topology, { name, role: 'worker' });
    };
  };

export const killExport: MoveFault = async ({ scene: { cluster } }) => {
  const argv = ['sh', '-c', 'pgrep -f [q]emu-storage-daemon.*--pidfile || true'];
  const pids = (await cluster.topology.exec('w3', argv)).trim().split('\n').filter(Boolean);
  if (pids.length === 0) throw new NotThere('no daemon serves a volume');
  await cluster.topology.exec('w3', ['kill', '-9', ...pids]);
  return nothing;
};

export const partHosts: MoveFault = ({ scene, from, to }) => parted(from, [to]).inject(scene.cluster);

export const partFromControllers =
  (end: End): MoveFault =>
  (moving) =>
    parted(moving[end], ['c1', 'c2', 's1']).inject(moving.scene.cluster);

export const linkDown =
  (end: End): MoveFault =>
  async (moving) => {
    const { topology } = moving.scene.cluster;
    const set = (state: string): Promise<string> => topology.exec(moving[end], ['ip', 'link', 'set', 'und0', state]);
    await set('down');
    return async () => void (await set('up'));
  };

/** Nothing more can be written to the volumes of the new host. */
export const fillDisk: MoveFault = async ({ scene: { cluster }, to }) => {
  const file = `${insideFolder}/host/volumes/ballast`;
  const fill = `head -c 4G /dev/zero | tr '\\0' x >${file} 2>/dev/null || true`;
  await cluster.topology.exec(to, ['sh', '-c', fill]);
  return async () => void (await cluster.topology.exec(to, ['rm', '-f', file]));
};

// Commands

/** Ended, and asked for again at once. */
export const cancelAndAgain: MoveFault = async ({ scene: { acme }, subject: { name }, to }) => {
  await acme.ask('migration.cancel', name).catch(codeOf);
  await acme.ask('vm.migrate', name, { to }).catch(codeOf);
  return nothing;
};

export const cancel: MoveFault = async ({ scene: { acme }, subject: { name } }) => {
  await acme.ask('migration.cancel', name).catch(codeOf);
  return nothing;
};

export const askTwice: MoveFault = async ({ scene: { acme }, subject: { name }, to, from }) => {
  const asked = await Promise.all(
    [to, from, null].map((one) => acme.ask('vm.migrate', name, { to: one }).catch(codeOf)),
  );
  if (asked.some((one) => typeof one !== 'string')) throw new Error('another migration was begun beside the first');
  return nothing;
};

/** A command to a VM, which the test itself may hold for a moment. @returns undefined when it was done, or the code */
async function tellVm({ scene: { acme }, subject: { name } }: Moving, verb: string, params: object = {}) {
  for (;;) {
    const code = await acme.ask(verb, name, { ...params }).then(() => undefined, codeOf);
    if (code !== 'paused') return code;
    await pause(50);
  }
}

const command =
  (verb: string, params: object = {}): MoveFault =>
  async (moving) => {
    const asked = tellVm(moving, verb, params);
    return async () => void (await asked);
  };

export const restartGuest = command('vm.restart', { graceMs: 0 });
export const resetGuest = command('vm.reset');
export const pauseGuest: MoveFault = async ({ scene: { acme }, subject: { name } }) => {
  await acme.ask('vm.pause', name).catch(codeOf);
  return async () => void (await acme.ask('vm.resume', name).catch(codeOf));
};

export const stopVm: MoveFault = async (moving) => {
  const { scene, subject } = moving;
  const [{ acme }, { name, vm }] = [scene, subject];
  const asked = tellVm(moving, 'vm.stop', { graceMs: 0 });
  return async () => {
    await asked;
    await acme.reachState(vm, /^stopped$/, 120_000);
    await acme.ask('vm.start', name);
  };
};

/** Its volume stays. Nothing of it is left on either host; then it is declared again, and has another address. */
export const deleteVm: MoveFault = async (moving) => {
  const { scene, subject } = moving;
  const [{ acme }, { name, vm }] = [scene, subject];
  const mac = await scene.macOf(subject);
  const asked = tellVm(moving, 'vm.delete');
  return async () => {
    await asked;
    await acme.reachAbsence(vm, 120_000);
    await acme.reachAbsence(subject.migration, 120_000);
    for (const host of movers) {
      let left: string[] = [];
      const isGone = async (): Promise<boolean> => {
        left = (await printOf(scene.cluster.topology, host)).filter((line) => line.includes(mac));
        left.push(...(await qemusWith(scene, host, mac)));
        return left.length === 0;
      };
      await until('nothing of the VM is left', isGone, 30_000).catch(() => {
        throw new Error(`of the deleted VM ${host} still has: ${left.join('; ')}`);
      });
    }
    const again = acme.ask('vm.create', name, { ...vmParamsOf(acme, name) });
    await again;
    const target = { network: 'public', target: { port: `${name}.eth0` } };
    await acme.ask('external-address.apply', name, target);
  };
};

/** Another port is opened; the host of the guest must have that rule, wherever the guest is then. */
export const changeGroup: MoveFault = async ({ scene, subject }) => {
  const { acme, cluster } = scene;
  const [page = {}, ...others] = openRules;
  const more = {
    direction: 'ingress',
    protocol: 'tcp',
    ports: { from: 8080, to: 8080 },
  };
  await acme.ask('security-group.update', 'web', {
    rules: [page, more, ...others],
  });
  return async () => {
    const host = (await scene.vm(subject)).host ?? '';
    const isThere = async (): Promise<boolean> =>
      (await printOf(cluster.topology, host)).some((line) => line.includes('8080'));
    await until(`${host} has the new rule of the guest`, isThere, 30_000);
    await acme.ask('security-group.update', 'web', { rules: openRules });
  };
};

/** A port comes and goes in the network. */
export const changeNetwork: MoveFault = async ({ scene: { acme }, to }) => {
  await acme.directPort('passes-by', to);
  return async () => {
    await acme.ask('port.delete', 'passes-by');
    await acme.reachAbsence(`port/${tenant}/passes-by`);
  };
};
