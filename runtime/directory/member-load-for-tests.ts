/**
 * Test support: a steady load on a fleet of controllers (member-fleet-for-tests.ts), and a check that none of it was
 * lost, applied twice or reordered. Never used in production.
 */
import { setTimeout as pause } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import type { Command, Reply } from '../contract/envelope.ts';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import { commandOf } from '../hosting/host-for-tests.ts';
import { until } from '../journal/redis-for-tests.ts';
import type { MemberFleet } from './member-fleet-for-tests.ts';

export const pairs = 24;
export const askAgainMs = 1_000;

/** Commands to relays, repeated until answered; each relay sends its sink one message per command. */
export class Load {
  readonly answers = new Map<string, Reply>();
  sent = 0;
  /** Longest time in ms that any command took since this was last set to 0. */
  slowestMs = 0;
  stopped = false;
  readonly #fleet: MemberFleet;
  readonly #lanes: Promise<void>[];

  constructor(fleet: MemberFleet) {
    this.#fleet = fleet;
    this.#lanes = Array.from({ length: pairs }, (_, pair) => this.#lane(pair));
    for (const lane of this.#lanes) lane.catch(() => undefined); // `stop` rethrows it
  }

  async #lane(pair: number): Promise<void> {
    for (let count = 0; !this.stopped; count += 1) {
      const command = commandOf(`relay/t/r${pair}`, { type: 'relay.send', to: `sink/t/s${pair}` });
      this.sent += 1;
      const startedMs = performance.now();
      const reply = await this.answered(command, pair + count);
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs);
      this.answers.set(command.commandId, reply);
    }
  }

  /** Repeats a command with the same id, through any connected controller, until it is answered. */
  async answered(command: Command, first: number): Promise<Reply> {
    for (let at = first; ; at += 1) {
      const nodes = [...this.#fleet.members].filter(([, { child }]) => child.connected).map(([node]) => node);
      if (nodes.length === 0) throw new Error('no controller is left to ask');
      const asked = this.#fleet.ask(nodes[at % nodes.length] as string, command);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), askAgainMs)));
      const reply = await Promise.race([asked, late]);
      clearTimeout(timer);
      // A relay whose messages wait for a killed owner has a full outbox for a while, and answers with retryAfterMs.
      if (reply?.ok === false && reply.error.code === 'overloaded') await pause(reply.error.retryAfterMs);
      else if (reply !== undefined) return reply;
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.#lanes);
  }

  /** Resolves when every pair has got further answers. */
  async flows(commands = pairs * 4): Promise<void> {
    const wanted = this.answers.size + commands;
    await until(`${commands} further answers`, () => this.answers.size >= wanted);
  }

  /**
   * Ends the load and checks that every command was answered ok and every sink has all numbers of its relay in order.
   */
  async provedExact(fieldOf: (id: ActorId, field: string) => Promise<string | null>): Promise<number> {
    await this.stop();
    assert.equal(
      [...this.answers.values()].filter(({ ok }) => !ok),
      [],
    );
    let total = 0;
    for (let pair = 0; pair < pairs; pair += 1) {
      const id = actorId(`sink/t/s${pair}`);
      const versions = Number(await fieldOf(actorId(`relay/t/r${pair}`), 'version'));
      const expected = Array.from({ length: versions }, (_, index) => index + 1);
      let items: unknown;
      const arrived = async (): Promise<boolean> => {
        const text = await fieldOf(id, 'context');
        ({ items } = JSON.parse(text ?? '{"items":[]}') as { items: unknown });
        return (items as unknown[]).length >= versions;
      };
      await until(`${versions} items of ${id}`, arrived);
      assert.equal(items, expected, `${id}: lost, doubled or out of order`);
      total += versions;
    }
    assert.is(total, this.sent, 'every command was applied once');
    return total;
  }
}
