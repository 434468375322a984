/**
 * The judge of a VM that was moved under a fault; it is the same for every case. From outside of the product: at no
 * moment two copies ran, every answered visit is there once, the guest has its addresses and its volume, and is the
 * same one unless the fault has ended its run; both hosts have what they had whenever the same VMs were on them. From
 * the product: VM and migration say what has happened, no actor is held, and the next migration succeeds.
 */
import { changesOf, readGuest, type GuestFacts } from '../demo/guest-page.ts';
import { movers, otherOf, statusOf, type MovingScene, type Subject, type VmStatus } from './moving-scene.ts';
import type { MoveCase } from './moving-cases.ts';
import { CopyWatch } from './moving-copies.ts';
import { differences, printOf } from './moving-print.ts';
import { until } from './process-identity.ts';

const patience = { settled: 150_000, answers: 90_000, prints: 30_000 } as const;

/** What a VM was before a case. */
export interface Before {
  readonly atMs: number;
  readonly status: VmStatus;
  readonly facts: GuestFacts;
}

/** What a case may do to the VM. */
export type Allowed = Pick<MoveCase, 'mayReboot' | 'isAnother'>;

export class MoveJudge {
  readonly #scene: MovingScene;
  /** Where the VMs are -> prints of both hosts, as they were without any fault. */
  readonly #prints = new Map<string, ReadonlyMap<string, readonly string[]>>();
  readonly copies: CopyWatch;

  private constructor(scene: MovingScene, macs: ReadonlyMap<string, string>) {
    this.#scene = scene;
    this.copies = new CopyWatch(scene.cluster.topology, movers, macs);
  }

  /** Moves every VM until each combination of hosts was seen, and keeps what the hosts have then. */
  static async open(scene: MovingScene): Promise<MoveJudge> {
    const subjects = [...scene.subjects.values()];
    const macs = new Map<string, string>();
    for (const subject of subjects) macs.set(await scene.macOf(subject), subject.vm);
    const judge = new MoveJudge(scene, macs);
    // The first placement has left nothing of a move; its prints are those of a later time at the same hosts.
    for (let at = 0; at < 2 ** subjects.length; at += 1) {
      const subject = subjects[at % subjects.length];
      if (subject === undefined) break;
      await judge.#move(subject);
      judge.#prints.set(await judge.#places(), await judge.#printsNow());
    }
    return judge;
  }

  async #places(): Promise<string> {
    const all = [...this.#scene.subjects.values()];
    const hosts = await Promise.all(all.map(async (one) => `${one.name} on ${(await this.#scene.vm(one)).host}`));
    return hosts.join(', ');
  }

  async #printsNow(): Promise<Map<string, readonly string[]>> {
    const prints = movers.map(async (node) => [node, await printOf(this.#scene.cluster.topology, node)] as const);
    return new Map(await Promise.all(prints));
  }

  /** A move without a fault. @returns the summary @throws Error when it does not succeed */
  async #move(subject: Subject): Promise<VmStatus> {
    const { acme } = this.#scene;
    const before = await this.#scene.vm(subject);
    const to = otherOf(before.host ?? '');
    await acme.ask('vm.migrate', subject.name, { to });
    await acme.reachAbsence(subject.migration, patience.settled);
    const after = statusOf(await acme.reachState(subject.vm, /^running$/, patience.settled));
    if (after.host === to && after.lastMigration?.result === 'moved') return after;
    throw new Error(`it is on ${after.host}: ${JSON.stringify(after.lastMigration)}`);
  }

  /** Begins to watch. */
  async begin(subject: Subject): Promise<Before> {
    subject.writer.start();
    await subject.writer.moreAnswers(2, patience.answers);
    const facts = await readGuest(subject.place, patience.answers);
    this.copies.start();
    return {
      atMs: performance.now(),
      status: await this.#scene.vm(subject),
      facts,
    };
  }

  /** Waits until the move has ended and all hosts are there. */
  async settled(subject: Subject): Promise<VmStatus> {
    const { acme } = this.#scene;
    await acme.reachAbsence(subject.migration, patience.settled);
    for (const host of [...movers, 'w3']) await acme.reachState(`host/system/${host}`, /ready$/, patience.settled);
    return statusOf(await acme.reachState(subject.vm, /^running$/, patience.settled));
  }

  /** Ends the watch, whatever has happened. */
  async end(subject: Subject): Promise<readonly string[]> {
    await subject.writer.stop();
    return await this.copies.stop();
  }

  /** @returns how it has ended @throws Error with everything that is wrong */
  async judge(subject: Subject, before: Before, { mayReboot, isAnother }: Allowed): Promise<string> {
    const { writer, place } = subject;
    const { host, lastMigration } = await this.#scene.vm(subject);
    await writer.moreAnswers(2, patience.answers);
    const { longestGapMs } = writer.figures(before.atMs);
    const wrong = [...(await this.end(subject))];
    const boots = writer.boots(before.atMs);
    const facts = await readGuest(place, patience.answers);
    const isSame = facts.boot_id === before.facts.boot_id;
    if (!isAnother)
      wrong.push(...changesOf(before.facts, facts, isSame || !mayReboot ? 'the same boot' : 'a new boot'));
    if (new Set(boots).size !== boots.length) wrong.push(`answers came from ${boots.join(', ')} in turn`);
    await writer.judge().catch((error: unknown) => wrong.push(String(error)));
    if (!isAnother) wrong.push(...(await this.#wrongPrints()));
    wrong.push(...(await this.#held()));
    if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join('\n'));
    const isNew = lastMigration?.startedAt !== before.status.lastMigration?.startedAt;
    const result = isNew ? lastMigration?.result : 'not begun';
    const code = isNew && lastMigration?.failure ? ` (${lastMigration.failure.code})` : '';
    const gap = `${(longestGapMs / 1_000).toFixed(1)} s`;
    return `${result}${code}, on ${host}, ${isSame ? 'same guest' : 'new boot'}, gap ${gap}`;
  }

  /** The next migration succeeds, and leaves nothing. @throws Error when not */
  async judgeNext(subject: Subject): Promise<void> {
    const before = await this.begin(subject);
    try {
      await this.#move(subject);
      await this.judge(subject, before, { mayReboot: false, isAnother: false });
    } catch (error) {
      await this.end(subject).catch(() => undefined); // the error is what counts
      throw new Error(`the next migration: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  async #wrongPrints(): Promise<string[]> {
    const wanted = this.#prints.get(await this.#places());
    if (wanted === undefined) return [`no print is known for ${await this.#places()}`];
    let wrong: string[] = [];
    const isRight = async (): Promise<boolean> => {
      const now = await this.#printsNow();
      wrong = movers.flatMap((node) =>
        differences(wanted.get(node) ?? [], now.get(node) ?? []).map((line) => `${node} ${line}`),
      );
      return wrong.length === 0;
    };
    await until('both hosts are as they were', isRight, patience.prints).catch(() => undefined); // `wrong` says it
    return wrong;
  }

  async #held(): Promise<string[]> {
    const { actors } = await this.#scene.acme.client.call('actor.list', {
      held: true,
      limit: 20,
    });
    return actors.map(({ id, stateName }) => `${id} is held in ${stateName}`);
  }
}
