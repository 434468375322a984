/**
 * Test support: a controller (store, journal, membership, host; no API or peer server) in a child process, to be
 * killed, stopped and drained. Never used in production. Argument: JSON of `MemberOrders`. The parent process is its
 * network: a request to a peer goes to the parent as a `call` and returns as a `result`; the parent's own commands are
 * `asks`. SIGTERM drains it like the real node.
 */
import type { Command, Message } from '../contract/envelope.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Delivery, Outlet } from '../contract/link.ts';
import { done } from '../contract/outcome.ts';
import type { CommandAnswer } from '../hosting/mailbox.ts';
import { testLog as log } from '../hosting/host-for-tests.ts';
import { createHost, type Host } from '../hosting/host.ts';
import { plainRegistry, type Bake } from '../hosting/kinds-for-tests.ts';
import { systemClock as clock } from '../hosting/system-clock.ts';
import { createSystemRandom } from '../hosting/system-random.ts';
import { createJournal, type RedisJournal } from '../journal/redis-journal.ts';
import { connectStore } from '../journal/store-connection.ts';
import { ClusterClock } from './cluster-clock.ts';
import { joinCluster, type Membership } from './cluster-membership.ts';
import type { FromMember, MemberCall, MemberOrders, ToMember } from './member-fleet-for-tests.ts';

const { url, node, boot, beatMs, silenceMs } = JSON.parse(process.argv[2] ?? '{}') as MemberOrders;
const tell = (news: FromMember): void => void process.send?.(news);

const calls = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
let numbered = 0;

function call(to: string, what: Omit<MemberCall, 'number' | 'to'>): Promise<never> {
  numbered += 1;
  const number = numbered;
  return new Promise((resolve, reject) => {
    calls.set(number, { resolve, reject });
    tell({ call: { ...what, number, to } });
  });
}

const outlet: Outlet = {
  deliver: (to, message) => call(to, { message }),
  command: (to, command) => call(to, { command }),
};

const nameOf = ({ from, senderUid, seq }: Message): string => `${from}~${senderUid} ${seq}`;

/** Reports committed messages to the parent, so that the parent can count repeats. */
function watched(journal: RedisJournal): RedisJournal {
  const commit: RedisJournal['commit'] = journal.commit.bind(journal);
  journal.commit = async (form) => {
    const outcome = await commit(form);
    if (outcome.result === 'fenced') tell({ fenced: form.grant.shard });
    if (outcome.result !== 'committed') return outcome;
    for (const { sender, seq } of form.watermarks) tell({ applied: `${sender} ${seq}` });
    return outcome;
  };
  return journal;
}

function takeIn(host: Host, { number, message, command }: MemberCall): Promise<Delivery | CommandAnswer> {
  if (message === undefined) return host.command(command as Command);
  tell({ delivering: nameOf(message), number });
  return host.deliver(message);
}

/** Every bake effect fails once, so that its actor waits by a timer and performs the effect again. */
const failed = new Set<string>();
const bake: Bake = async ({ loaf }) => {
  if (failed.delete(loaf)) return done({ loaf });
  failed.add(loaf);
  throw new PhotonError('defeat', 'loaf_failed', 'the first try fails on purpose');
};

const store = await connectStore({ url, clock, log });
const journal = createJournal({ store, clock, log });
const joined: { membership?: Membership } = {};
const verify = (shard: Parameters<Membership['verify']>[0]): void => void joined.membership?.verify(shard);
const changes: (() => void)[] = [];
const host = createHost({
  registry: plainRegistry(bake),
  journal: watched(journal),
  directory: {
    ownerOf: (id) => joined.membership?.directory.ownerOf(id),
    refresh: async () => await joined.membership?.directory.refresh(),
    onChange: (listener) => void changes.push(listener),
  },
  outlet,
  nodeName: node,
  clock,
  random: createSystemRandom(),
  log,
  onFenced: (grant) => void joined.membership?.fenced(grant),
  onStranger: verify,
});
journal.onFenced(verify);
joined.membership = await joinCluster({
  store,
  node: { name: node, role: 'controller', peerUrl: '', boot },
  clock: new ClusterClock(clock),
  log,
  onGrant: (grant) => {
    journal.adopt(grant);
    void host.grant(grant).then(() => tell({ owns: host.figures().shards }));
  },
  onLost: (shard) => {
    journal.drop(shard);
    host.revoke(shard);
    tell({ owns: host.figures().shards });
  },
  onHandover: (shards) => host.retire(shards),
  onNode: () => {},
  beatMs,
  silenceMs,
});

for (const listener of changes) joined.membership.directory.onChange?.(listener);
process.on('message', ({ ask, call: asked, result }: ToMember) => {
  if (ask !== undefined) void host.ask(ask).then((reply) => tell({ answer: { commandId: ask.commandId, reply } }));
  if (asked !== undefined) {
    const { number } = asked;
    void takeIn(host, asked).then((value) => tell({ result: { number, value } }));
  }
  if (result === undefined) return;
  const waiting = calls.get(result.number);
  calls.delete(result.number);
  if (result.value === undefined) waiting?.reject(new Error('the peer cannot be reached'));
  else waiting?.resolve(result.value as never);
});
process.on('disconnect', () => process.exit(0));
process.once('SIGTERM', () => {
  const startedMs = performance.now();
  void (async () => {
    await joined.membership?.leave();
    await host.drain();
    tell({ drainedMs: performance.now() - startedMs });
    setImmediate(() => process.exit(0));
  })();
});
tell({ ready: true });
