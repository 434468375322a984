// needs: kernel
// time limit: 900 s
// test limit: 300 s
/**
 * A VM with a page and SQLite on its local volume moves between two workers while visits are made: the guest is the
 * same afterwards, every acknowledged visit is there, nothing is left where it was, and the next move succeeds. What
 * cannot be moved is refused with the reason. Its QEMU guest agent is asked before and afterwards. QEMU and the agent
 * are the real ones; processes are counted in the kernels.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { publicPlace } from '../demo/tenant-view.ts';
import { readGuest, visitGuest, type GuestPlace } from '../demo/guest-page.ts';
import { buildGuestImage, findGuestAgent } from '../guest/guest-image.ts';
import { asParams } from './api-session.ts';
import { defaultNodes, launchCluster, photonCli, type PhotonCluster } from './cluster-launch.ts';
import { sightOf } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { publicNetwork } from './outside-guest.ts';
import { until } from './process-identity.ts';

const test = suite('moving guest');
const vm = `vm/${tenant}/web`;
const migration = `migration/${tenant}/web`;

interface Summary {
  readonly startedAt: number;
  readonly result: string;
  readonly method: string;
  readonly pauseMs: number | null;
  readonly gapMs: number | null;
  readonly keptFlows: number;
  readonly sentBytes: number;
  readonly failure: { readonly code: string; readonly message: string } | null;
}
interface VmStatus {
  readonly host: string;
  readonly runEpoch: number;
  readonly canMigrate: { readonly value: boolean; readonly reasons: readonly { readonly code: string }[] };
  readonly lastMigration: Summary | null;
}

let cluster: PhotonCluster;
let acme: CrashTenant;
/** Where the client is: outside, behind the gateway, which is one of the two workers. */
let client: GuestPlace;
let acknowledged = 0;

const statusOf = async (): Promise<VmStatus> => (await acme.find(vm))?.status as unknown as VmStatus;
const qemusOn = async (node: string): Promise<number> => (await sightOf(cluster.topology, node)).qemus.length;
const tapsOn = async (node: string): Promise<number> => (await sightOf(cluster.topology, node)).taps.length;

const ofSystem = (method: string, name: string, params: object) =>
  acme.client.call(method, {
    scope: 'system',
    name,
    idempotencyKey: `${method}-${name}`,
    params: asParams(method, params),
  });

async function refusalOf(params: object): Promise<string> {
  const error = await acme.ask('vm.migrate', 'web', { ...params }).then(
    () => assert.unreachable('it was accepted') as never,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PhotonError)) throw error;
  return `${error.record.code}: ${error.message}`;
}

/** Visits until it is told to stop. @returns the longest time between two answers, ms, and what failed */
function visitMeanwhile(): () => Promise<{ longestMs: number; failures: string[] }> {
  let goes = true;
  const failures: string[] = [];
  let longestMs = 0;
  const work = (async () => {
    let last = performance.now();
    while (goes) {
      try {
        await visitGuest(client);
        acknowledged += 1;
        longestMs = Math.max(longestMs, performance.now() - last);
        last = performance.now();
      } catch (error) {
        failures.push((error as { stderr?: string }).stderr ?? String(error));
        if (failures.length > 100) return;
        await pause(100);
      }
    }
  })();
  return async () => {
    goes = false;
    await work;
    return { longestMs, failures };
  };
}

/** A visit whose request is sent a line at a time, so that its connection is open all the while. @returns its end */
function visitSlowly(): () => Promise<void> {
  const { topology, node, address } = client;
  const talk = `exec 3<>/dev/tcp/${address}/80; cat <&3 & exec cat >&3`;
  const [program = '', ...rest] = topology.enter(node, ['bash', '-c', talk]);
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  let answer = '';
  child.stdout.on('data', (data: Buffer) => (answer += data.toString()));
  child.stdin.write('POST /visit?slow HTTP/1.1\r\n');
  const timer = setInterval(() => child.stdin.write('X-Still: here\r\n'), 100);
  return async () => {
    clearInterval(timer);
    child.stdin.write('\r\n');
    try {
      await until('the slow visit is answered', () => answer.includes('"count"'), 20_000);
      assert.match(answer, /^HTTP\/1\.1 200 OK/);
      acknowledged += 1;
    } finally {
      child.kill('SIGKILL');
    }
  };
}

/** Moves it while visits are made. @returns the summary of the move */
async function move(to: string): Promise<Summary> {
  const [before, { boot_id: boot }] = [await statusOf(), await readGuest(client)];
  const [stop, endSlowly] = [visitMeanwhile(), visitSlowly()];
  await acme.ask('vm.migrate', 'web', { to }).catch((error: unknown) => {
    throw new Error(`it was refused: ${String(error)}`);
  });
  await acme.reach(
    vm,
    `moved to ${to}`,
    (one) => {
      const { host, lastMigration } = (one?.status ?? {}) as unknown as VmStatus;
      const isNew = lastMigration?.startedAt !== before.lastMigration?.startedAt;
      if (isNew && (lastMigration?.failure ?? null) !== null) throw new Error(JSON.stringify(lastMigration));
      return one?.stateName === 'running' && host === to;
    },
    120_000,
  );
  await acme.reachAbsence(migration, 120_000);
  const { longestMs, failures } = await stop();
  await endSlowly();
  const [after, guest] = [await statusOf(), await readGuest(client)];
  assert.equal([after.runEpoch, guest.boot_id], [before.runEpoch + 1, boot], 'the same guest, one epoch later');
  assert.ok(Number(guest.count) >= acknowledged, `${acknowledged} visits were acknowledged, ${guest.count} are there`);
  assert.equal(failures, [], 'every visit was answered');
  const summary = after.lastMigration as Summary;
  console.error(
    `${before.host} to ${to}: ${summary.method}, paused ${summary.pauseMs} ms, gap ${summary.gapMs} ms, ` +
      `${summary.sentBytes} bytes, ${summary.keptFlows} connections kept, ` +
      `longest visit ${Math.round(longestMs)} ms, ${acknowledged} visits`,
  );
  assert.is(summary.result, 'moved');
  assert.ok(summary.keptFlows >= 1, 'the connection that was open all the while');
  return summary;
}

test.before(async () => {
  const guest = await buildGuestImage({ agent: true });
  const uplinks = publicNetwork.hosts;
  const images = { '/run/guest': guest.folder };
  cluster = await launchCluster({ stem: 'moves', images, nodes: defaultNodes, uplinks });
  acme = await CrashTenant.open(cluster);
  await acme.declareBasics(guest.commandLine);
  for (const node of ['w1', 'w2']) await acme.directPort(`stays-${node}`, node);
  const page = { direction: 'ingress', protocol: 'tcp', ports: { from: 80, to: 80 } };
  await acme.ask('security-group.create', 'web', { rules: [page, { direction: 'egress' }] });
  const nics = [{ network: 'front', securityGroups: ['web'] }];
  await acme.ask('vm.create', 'web', { ...acme.vmParams(), nics, restart: 'never', guestAgent: true });
  await acme.reachState(vm, /^running$/, 120_000);
  await ofSystem('external-network.create', 'public', publicNetwork);
  await acme.ask('router.create', 'edge', { external: { network: 'public' } });
  await acme.ask('external-address.create', 'web', { network: 'public', target: { port: 'web.eth0' } });
  await acme.reachState(`external-address/${tenant}/web`, /^attached$/);
  client = await publicPlace(cluster, `external-address/${tenant}/web`);
  await readGuest(client, 120_000);
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
});

/** What `photon describe` says of the guest. */
const saidByGuest = async (): Promise<string> =>
  /^guest:\n(?: .*\n)+/m.exec(await photonCli(cluster.clientFile, ['describe', vm]))?.[0] ?? 'nothing';

function declareAgent(when: string): void {
  if (findGuestAgent() === undefined) {
    test.skip('there is no QEMU guest agent: the set-up unpacks it on Debian');
    return;
  }
  test(`its guest agent says system, name and addresses ${when}`, async () => {
    const { ports } = (await acme.find(vm))?.status as { readonly ports: Record<string, Record<string, string>> };
    const { address = '', mac = '' } = Object.values(ports)[0] ?? {};
    const words = (await saidByGuest()).replaceAll(/ +/g, ' ').split('\n ');
    assert.ok(words.includes('guest agent answers'), words.join('\n'));
    assert.ok(words.includes('system Guest of the tests 1'), words.join('\n'));
    assert.ok(words.includes('host name web'), words.join('\n'));
    const nic = words.find((line) => line.startsWith('interface eth0')) ?? '';
    assert.ok(nic.startsWith(`interface eth0 ${mac}, ${address}/24`), nic);
    const { figures, facts } = await acme.client.call('actor.figures', { id: vm });
    assert.equal([figures, facts?.[0]], [{}, { name: 'guest agent', values: ['answers'] }]);
  });
}

declareAgent('where it was started');

test('what cannot be moved is refused with the reason, and nothing has happened', async () => {
  const { host, canMigrate } = await statusOf();
  assert.equal([canMigrate.value, canMigrate.reasons], [true, []]);
  assert.match(await refusalOf({ to: host }), /^same_host: .* is on .*; name another host/);
  assert.match(await refusalOf({ to: 'w9' }), /^no_host: the cluster has no host w9/);
  const other = host === 'w1' ? 'w2' : 'w1';
  await ofSystem('host.cordon', other, {});
  assert.match(await refusalOf({ to: other }), /^no_host: .*is cordoned/);
  await ofSystem('host.uncordon', other, {});
  assert.equal((await acme.find(vm))?.stateName, 'running');
});

test('it moves forth and back while visits are made', async () => {
  const first = (await statusOf()).host;
  const second = first === 'w1' ? 'w2' : 'w1';
  for (const [from, to] of [
    [first, second],
    [second, first],
  ] as const) {
    await move(to);
    assert.equal([await qemusOn(from), await qemusOn(to)], [0, 1]);
    assert.equal([await tapsOn(from), await tapsOn(to)], [1, 2]);
  }
});

declareAgent('after it has moved');

test('a move that is ended before the VM has changed its host leaves it where it was', async () => {
  const { host, runEpoch } = await statusOf();
  const { boot_id: boot } = await readGuest(client);
  await acme.ask('vm.migrate', 'web', {});
  // The VM may have changed its host by then; both are judged below.
  await acme.ask('migration.cancel', 'web').catch(() => undefined);
  await acme.reachAbsence(migration, 120_000);
  await acme.reachState(vm, /^running$/);
  const after = await statusOf();
  const guest = await readGuest(client);
  assert.is(guest.boot_id, boot);
  const stayed = after.lastMigration?.result === 'rolled-back';
  assert.equal([after.host === host, after.runEpoch], [stayed, stayed ? runEpoch : runEpoch + 1]);
  await visitGuest(client);
  const other = (await statusOf()).host === 'w1' ? 'w2' : 'w1';
  assert.equal([await qemusOn(after.host), await qemusOn(other)], [1, 0]);
  acknowledged += 1;
  await move(other);
});

test.run();
