/**
 * Test support: hosts on a journal, wired to each other in one process, and words to talk to them. Never used in
 * production.
 */
import type { ActorRegistry } from '../contract/actor-definition.ts';
import type { SharedClock } from '../contract/clock.ts';
import type { ActorEvent, Command, Reply } from '../contract/envelope.ts';
import { actorId } from '../contract/identifiers.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { Inlet, Outlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import { createHost } from './host.ts';
import type { Host } from './host.ts';
import type { HostLimits } from './host-limits.ts';
import type { MemoryJournal } from './memory-journal.ts';
import { systemClock } from './system-clock.ts';
import { createSystemRandom } from './system-random.ts';
import { patienceMs } from '../contract/patience-for-tests.ts';

const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => quiet };
const loud: Log = {
  ...quiet,
  warn: (fields, message) => console.error('warn', message, fields),
  error: (fields, message) => console.error('error', message, fields),
  child: () => loud,
};
export const testLog: Log = process.env['PHOTON_TEST_LOG'] === undefined ? quiet : loud;

/** Nodes by name; what one sends to another goes straight into its inlet. */
export class Net {
  readonly nodes = new Map<string, Inlet>();

  readonly outlet: Outlet = {
    deliver: (node, message) => this.at(node).deliver(message),
    command: (node, command) => this.at(node).command(command),
  };

  private at(node: string): Inlet {
    const inlet = this.nodes.get(node);
    if (inlet === undefined) throw new Error(`no link to ${node}`);
    return inlet;
  }
}

export interface TestHostOptions {
  readonly registry: ActorRegistry;
  readonly node?: string;
  readonly net?: Net;
  readonly limits?: Partial<HostLimits>;
  readonly outlet?: Outlet;
  readonly onStranger?: (shard: ShardId) => void;
  readonly clock?: SharedClock;
}

export function hostOn(journal: MemoryJournal, options: TestHostOptions): Host {
  const nodeName = options.node ?? 'n1';
  const net = options.net ?? new Net();
  const host = createHost({
    registry: options.registry,
    journal,
    directory: { ownerOf: (id) => journal.ownerOf(id), refresh: async () => {} },
    outlet: options.outlet ?? {
      deliver: async (node, message) => net.outlet.deliver(node, message),
      command: async (node, command) => net.outlet.command(node, command),
    },
    nodeName,
    clock: options.clock ?? systemClock,
    random: createSystemRandom(),
    log: testLog,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.onStranger === undefined ? {} : { onStranger: options.onStranger }),
  });
  net.nodes.set(nodeName, host);
  return host;
}

/** A host that owns every shard of the journal. */
export async function ownerOn(journal: MemoryJournal, options: TestHostOptions): Promise<Host> {
  const host = hostOn(journal, options);
  for (const grant of journal.own(options.node ?? 'n1')) await host.grant(grant);
  return host;
}

let commands = 0;

export function commandOf(to: string, event: ActorEvent, options: Partial<Command> = {}): Command {
  commands += 1;
  return {
    to: actorId(to),
    commandId: `c${commands}`,
    digest: JSON.stringify(event),
    principal: 'tester',
    event,
    ...options,
  };
}

export const ask = (host: Host, to: string, event: ActorEvent, options: Partial<Command> = {}): Promise<Reply> =>
  host.ask(commandOf(to, event, options));

/** @throws Error naming what was awaited. */
export async function until(what: string, check: () => boolean, timeoutMs = patienceMs()): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!check()) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const stored = (journal: MemoryJournal, id: string): Record<string, unknown> | undefined =>
  journal.actors.get(id as ActorId)?.actor.context as Record<string, unknown> | undefined;

/** What a reply says, without its version: the result, or the code of the error. */
export const said = (reply: Reply): unknown => (reply.ok ? reply.result : reply.error.code);
