/**
 * Moves of the cloud simulation: VMs that tenants move, and what an operator does to take a port from one host to
 * another, step by step, with pauses in which hosts crash and controllers fail over. Now and then a step is left out,
 * repeated, or names another run. Used by cloud-workload.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { ClientRecord } from '../simulated-clients.ts';

export interface MoveTools {
  readonly random: Chance;
  readonly hosts: readonly string[];
  /** As a request of an operator; `then` is told how it ended. */
  readonly ask: (method: string, name: string, params: object, then: (record: ClientRecord) => void) => void;
  /** Nothing happens when the workload has stopped meanwhile. */
  readonly later: (delayMs: number, task: () => void) => void;
  readonly reach: (what: string) => void;
}

/** A tenant moves a running VM, to a host or to any, or ends its move. */
export function moveVm(vm: string, { random, hosts }: Pick<MoveTools, 'random' | 'hosts'>) {
  if (random.happens(0.12)) return ['migration.cancel', vm, {}] as const;
  const to = random.happens(0.5) ? random.pick(hosts) : null;
  const limits = {
    onStall: random.pick(['abort', 'throttle', 'pause']),
    deadlineSeconds: random.pick([10, 60, 3_600]),
  };
  return ['vm.migrate', vm, { to, ...limits }] as const;
}

/** The run that a port was prepared for, as `port.standby` is answered. */
function preparedRun({ outcome, reply }: ClientRecord): number | undefined {
  if (outcome !== 'ok' || reply?.ok !== true) return undefined;
  const { runEpoch } = (reply.result ?? {}) as { readonly runEpoch?: number };
  return runEpoch;
}

/** Prepares the port on a host, moves it there, and drops it from where it was. */
export function movePort(port: string, { random, hosts, ask, later, reach }: MoveTools): void {
  const to = random.pick(hosts);
  const pauseMs = random.pick([0, 100, 3_000, 12_000]);
  const drop = (): void => later(random.around(pauseMs + 1), () => ask('port.drop-standby', port, {}, () => {}));
  ask('port.standby', port, { host: to }, (stood) => {
    const runEpoch = preparedRun(stood);
    if (runEpoch === undefined) return random.happens(0.2) ? drop() : undefined;
    reach('a port stood by');
    if (random.happens(0.15)) return drop();
    later(random.around(pauseMs + 1), () =>
      ask(
        'port.activate',
        port,
        { host: to, runEpoch: random.happens(0.05) ? runEpoch + 1 : runEpoch },
        ({ outcome }) => {
          if (outcome === 'ok') reach('a port was moved');
          if (random.happens(0.7)) drop();
        },
      ),
    );
  });
}

export interface HostTools extends Pick<MoveTools, 'random' | 'hosts' | 'reach'> {
  readonly ask: (host: string, event: { readonly type: string }, then: (record: ClientRecord) => void) => void;
}

/** An operator drains, cordons or opens a host. */
export function tendHost({ random, hosts, ask, reach }: HostTools): void {
  const host = `host/system/${random.pick(hosts)}`;
  if (random.happens(0.3)) {
    const drain = { type: 'host.drain', maxParallel: random.pick([1, 2, 4]), restart: random.happens(0.5) };
    return ask(host, drain, ({ outcome }) => (outcome === 'ok' ? reach('a host was drained') : undefined));
  }
  const type = random.pick(['host.cordon', 'host.uncordon', 'host.uncordon', 'host.cancel-drain']);
  ask(host, { type }, () => {});
}
