/**
 * Random calls of our own scripts, drawn from a seed: batches of commits by the owner and by others, at the next and at
 * wrong versions, with messages in and out of order, some calls sent twice; claims of shards; removal of outbox rows.
 * Used by store-conformance.test.ts.
 */
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { Commit } from '@photoncloud/runtime/contract/journal';
import { encodeBatch } from '@photoncloud/runtime/journal/commit-encoding';
import { commitOf, grantFor, historyOf, messageOf, receiptOf } from '@photoncloud/runtime/journal/commit-for-tests';
import { claimScript, commitScript, forgetScript, type Script } from '@photoncloud/runtime/journal/script-library';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { grantText, parseGrant, storeKeys } from '@photoncloud/runtime/journal/store-keys';
import type { Chance } from '../simulation/seeded-random.ts';
import type { Keyspace } from '../simulation/store/keyspace.ts';

export interface ScriptCall {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

const keys = storeKeys('ph:');
const actors = ['a', 'b', 'c', 'd'].map((name) => actorId(`vm/acme/${name}`));

export class RandomScripts {
  private readonly chance: Chance;
  private readonly space: Keyspace;
  private readonly versions = new Map<ActorId, number>();
  private last: ScriptCall | undefined;
  private commits = 0;

  /** @param space is read to find the present owners and versions */
  constructor(chance: Chance, space: Keyspace) {
    this.space = space;
    this.chance = chance;
  }

  next(): ScriptCall {
    const { chance } = this;
    for (const actor of actors) this.versions.set(actor, Number(this.stored(actor, `a:${actor}`, 'version') ?? '0'));
    if (this.last !== undefined && chance.happens(0.1)) return this.last;
    const draw = chance.fraction();
    this.last = draw < 0.1 ? this.claim() : draw < 0.2 ? this.forget() : this.batch();
    return this.last;
  }

  private grant(actor: ActorId): ReturnType<typeof grantFor> {
    return grantFor(actor, 'n1', this.epochOf(actor));
  }

  private epochOf(actor: ActorId): number {
    return parseGrant(this.space.text(keys.inShard(shardOf(actor), 'o')) ?? '').ownerEpoch;
  }

  private stored(actor: ActorId, key: string, field: string): string | undefined {
    return this.space.hash(keys.inShard(shardOf(actor), key))?.get(field);
  }

  private claim(): ScriptCall {
    const actor = this.chance.pick(actors);
    const epoch = this.epochOf(actor);
    const before = epoch === 0 || this.chance.happens(0.1) ? '' : grantText(this.grant(actor));
    const after = grantText(grantFor(actor, 'n1', epoch + 1));
    return {
      script: claimScript,
      keys: ['o', 'n'].map((what) => keys.inShard(shardOf(actor), what)),
      args: [before, after, 'boot'],
    };
  }

  private forget(): ScriptCall {
    const actor = this.chance.pick(actors);
    const rows = [1, 2, 3].map(() => `${actor}|${this.chance.whole(1, 30)}`);
    const args = [grantText(this.grant(actor)), ...rows];
    return { script: forgetScript, keys: [keys.inShard(shardOf(actor), 'o')], args };
  }

  private batch(): ScriptCall {
    const { chance } = this;
    const chosen = actors.filter(() => chance.happens(0.5));
    const groups = (chosen.length === 0 ? actors.slice(0, 1) : chosen).map((actor) => {
      const commits = Array.from({ length: chance.whole(1, 3) }, () => this.commit(actor));
      return { actor, commits };
    });
    const wallMs = 1_800_000_000_000 + this.commits;
    const batch = encodeBatch(groups, keys, wallMs, 0, false, { receiptBytes: 4_000, receiptKeepMs: 100 });
    return { script: commitScript, ...batch };
  }

  private commit(actor: ActorId): Commit {
    const { chance } = this;
    this.commits += 1;
    const wrong = chance.happens(0.08);
    const version = (this.versions.get(actor) ?? 0) + (wrong ? 2 : 1);
    if (!wrong) this.versions.set(actor, version);
    const from = chance.pick(actors);
    const seq = chance.whole(1, 60);
    const madeMs = 1_800_000_000_000 + this.commits - chance.whole(0, 50);
    const command = chance.happens(0.5) ? `${madeMs}-x` : `command-${chance.whole(1, 2_000)}`;
    return commitOf(actor, version, {
      commitId: `commit-${this.commits}`,
      grant: chance.happens(0.05) ? grantFor(actor, 'n9', 9) : this.grant(actor),
      status: chance.happens(0.05) ? 'removed' : 'live',
      effects: chance.happens(0.2)
        ? [{ effectId: `${actor}#${version}.0`, type: 'x.y', params: {}, stateId: 'a' }]
        : [],
      timersSet: chance.happens(0.3) ? [{ timerId: `t${chance.whole(1, 3)}`, dueMs: 5_000, eventType: 'go' }] : [],
      timersCancelled: chance.happens(0.3) ? [`t${chance.whole(1, 3)}`] : [],
      watermarks: chance.happens(0.3) ? [{ sender: `${from}~u1`, seq, after: chance.happens(0.7) ? 0 : seq - 1 }] : [],
      receipts: [receiptOf(command, version)],
      unproven: chance.happens(0.5) ? [command] : [],
      messages: chance.happens(0.4) ? [messageOf(actor, from, chance.whole(1, 30))] : [],
      ackedSeqs: chance.happens(0.2) ? [chance.whole(1, 30)] : [],
      rowsPut: chance.happens(0.3) ? [{ collection: 'c', key: `k${chance.whole(1, 4)}`, value: '1' }] : [],
      rowsRemoved: chance.happens(0.2) ? [{ collection: 'c', key: `k${chance.whole(1, 4)}` }] : [],
      history: [historyOf(version)],
      historyTail: 8,
    });
  }
}
