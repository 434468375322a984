// needs: kernel
// time limit: 240 s
// test limit: 180 s
/**
 * The example of docs/examples, as it stands there: applied by an operator and a tenant to a cluster with two gateway
 * hosts, and asked with curl from outside until both of its servers have answered. Then a server is stopped and the
 * other answers; what a group does not admit is not answered; nothing is left once everything is deleted.
 */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildGuestImage } from '../guest/guest-image.ts';
import { launchCluster, photonCli, type PhotonCluster } from './cluster-launch.ts';
import { outside } from './cluster-topology.ts';
import { checkout } from './photon-commands.ts';
import { until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';

const test = suite('example');
const tenant = 'acme';
const example = (name: string): string => join(checkout, 'docs/examples', name);

let cluster: PhotonCluster;
const operator = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const shopkeeper = (...argv: string[]): Promise<string> => photonCli(cluster.tenantFile(tenant), argv);

interface ShownAddress {
  readonly status: { readonly address: string };
}

/** The name of the server that answers from outside; '' when none does. */
async function ask(address: string, path = '/state'): Promise<string> {
  const curl = ['curl', '-sf', '-m', '5', `http://${address}${path}`];
  const page = await cluster.topology.exec(outside.node, curl).catch(() => '{}');
  return (JSON.parse(page) as { hostname?: string }).hostname ?? '';
}

/** Asks until exactly these servers have answered, each at least once, in ten requests in a row. */
async function untilAnsweredBy(address: string, ...servers: readonly string[]): Promise<void> {
  let seen: readonly string[] = [];
  const isSo = async (): Promise<boolean> => {
    const answers: string[] = [];
    for (let turn = 0; turn < 10; turn += 1) answers.push(await ask(address));
    seen = [...new Set(answers)].sort();
    return seen.join() === servers.join();
  };
  await until(`${address} is answered by ${servers.join()}`, isSo, 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; the last ten answers were of ${seen.join()}`);
  });
}

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({
    stem: 'example',
    tenants: [tenant],
    uplinks: ['w1', 'w2'],
    images: { '/run/guest': guest.folder },
  });
});
test.after(() => cluster?.topology.stop());

test('the example is answered by curl from outside, by both of its servers', async () => {
  await operator('apply', '-f', example('internet.yaml'), '--wait');
  await shopkeeper('apply', '-f', example('shop.yaml'), '--wait');
  assert.match(await shopkeeper('apply', '-f', example('shop.yaml')), /unchanged/);
  const shown = JSON.parse(await shopkeeper('get', 'external-address', 'shop', '-o', 'json')) as ShownAddress;
  const { address } = shown.status;
  assert.match(address, /^203\.0\.113\./);
  await untilAnsweredBy(address, 'web-1', 'web-2');

  // What is not in the group is not let in, whether the service IP has the port or not.
  const other = ['curl', '-s', '-m', '2', `http://${address}:22/`];
  await cluster.topology.exec(outside.node, other).then(
    () => assert.unreachable('port 22 was answered'),
    () => undefined,
  );

  await shopkeeper('vm', 'stop', 'web-1');
  await untilAnsweredBy(address, 'web-2');
  await shopkeeper('vm', 'start', 'web-1');
  await untilAnsweredBy(address, 'web-1', 'web-2');
});

test('what is still used is not deleted; in the right order everything goes', async () => {
  const refusals: readonly (readonly [string, string])[] = [
    ['service-ip', 'shop'],
    ['network', 'front'],
  ];
  for (const [kind, name] of refusals) {
    const said = await shopkeeper('delete', kind, name).then(
      () => '',
      (error: unknown) => (error as { stderr: string }).stderr,
    );
    assert.match(said, /in use|in_use|still has/, kind);
  }
  const own: readonly (readonly [string, string])[] = [
    ['vm', 'web-1'],
    ['vm', 'web-2'],
    ['external-address', 'shop'],
    ['service-ip', 'shop'],
    ['router', 'edge'],
    ['security-group', 'web'],
    ['network', 'front'],
    ['network', 'back'],
    ['image', 'kernel'],
    ['image', 'initrd'],
  ];
  for (const [kind, name] of own) await shopkeeper('delete', kind, name);
  await operator('-t', 'system', 'delete', 'external-network', 'internet');
  let left: readonly string[] = [];
  const isClean = async (): Promise<boolean> => (left = await residueOf(cluster.topology, ['w1', 'w2'])).length === 0;
  await until('nothing is left on the workers', isClean, 15_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; there is: ${left.join('; ')}`);
  });
});

test.run();
