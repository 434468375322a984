/**
 * Beside many ports the chains of their groups are read once for several of them. What somebody else does to a chain is
 * seen all the same, a few seconds later; and a chain goes with the last port that needs it. On the real kernel.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, run } from '../dataplane-for-tests.ts';
import { NamespaceLink } from '../namespace-link.ts';
import { combinationChain } from '../security-group/group-chains.ts';
import { ensureSkeleton } from './firewall-changes.ts';
import { hasManyPorts } from './firewall-elements.ts';
import { admitPort, dismissPort, readPort } from './firewall-ports.ts';
import type { PortIdentity } from './firewall-rules.ts';

inOwnNamespaces(import.meta.filename, () => {
  const name = 'shared';
  const many = 61;
  const portOf = (index: number): PortIdentity => ({
    tap: `tap${index}`,
    mac: `02:00:00:00:00:${index.toString(16).padStart(2, '0')}`,
    address: `10.0.0.${index}`,
    pairs: [],
  });
  const web = { groups: ['security-group/acme/web'], portSecurity: true };
  const odd = { groups: ['security-group/acme/odd'], portSecurity: true };
  const chain = combinationChain('ingress', web.groups);
  const nft = (statement: string): Promise<string> => run('ip', 'netns', 'exec', name, 'nft', statement);
  let link: NamespaceLink;

  test.before(async () => {
    await run('ip', 'netns', 'add', name);
    link = new NamespaceLink(name);
    await ensureSkeleton(link);
    for (let index = 1; index <= many; index++) await admitPort(link, portOf(index), web);
    assert.ok(hasManyPorts(link));
  });
  test.after(() => link.close());

  test('rules that somebody takes away are missed within seconds, and put back with the next port', async () => {
    assert.ok((await readPort(link, portOf(1), web)).grouped);
    await nft(`flush chain inet sg ${chain}`);
    const from = performance.now();
    while ((await readPort(link, portOf(1), web)).grouped) assert.ok(performance.now() - from < 8_000, 'not seen');
    await admitPort(link, portOf(many + 1), web);
    assert.ok((await readPort(link, portOf(1), web)).grouped);
  });

  test('a chain goes with the last port that needs it, and not before', async () => {
    await admitPort(link, portOf(1), odd);
    assert.ok((await readPort(link, portOf(1), odd)).grouped);
    await dismissPort(link, portOf(1), new Set());
    const left = await nft('list chains inet');
    assert.not.match(left, combinationChain('ingress', odd.groups));
    assert.match(left, chain);
    await dismissPort(link, portOf(2), new Set());
    assert.match(await nft('list chains inet'), chain);
  });
});

test.run();
