/**
 * Both ways to read what the firewall has of a port say the same: for what stands, what does not, and an address with
 * another verdict than was thought. On the real kernel.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, run } from '../dataplane-for-tests.ts';
import { NamespaceLink } from '../namespace-link.ts';
import { askKernel, readListed, type ElementQuestion } from './firewall-elements.ts';

inOwnNamespaces(import.meta.filename, () => {
  const name = 'elements';
  let link: NamespaceLink;

  test.before(async () => {
    await run('ip', 'netns', 'add', name);
    link = new NamespaceLink(name);
    await link.nft('making the maps', [
      'add table inet sg',
      'add set inet sg self { type ipv4_addr . ipv4_addr; }',
      'add map inet sg ingress_ports { type ipv4_addr : verdict; }',
      'add map inet sg egress_ports { type ipv4_addr : verdict; }',
      'add chain inet sg ci_one',
      'add chain inet sg ci_two',
      'add element inet sg self { 10.0.0.1 . 10.0.0.1 }',
      'add element inet sg ingress_ports { 10.0.0.1 : goto ci_one, 10.0.0.2 : accept }',
      'add element inet sg egress_ports { 10.0.0.1 : goto ci_two }',
    ]);
  });
  test.after(() => link.close());

  const self = (address: string): string => `inet sg self { ${address} . ${address} }`;
  const questions: readonly ElementQuestion[] = [
    { elements: [self('10.0.0.1')], addresses: [] },
    { elements: [self('10.0.0.1'), self('10.0.0.2')], addresses: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] },
    { elements: [], addresses: ['10.0.0.1'], expected: { ingress: 'goto ci_one', egress: 'goto ci_one' } },
    { elements: [], addresses: ['10.0.0.1'], expected: { ingress: 'goto ci_none', egress: 'goto ci_two' } },
    { elements: [self('10.0.0.3')], addresses: ['10.0.0.3'], expected: { ingress: 'goto ci_one', egress: 'accept' } },
  ];

  test('the kernel that is asked and the map that is listed agree, and asking changes nothing', async () => {
    const [first] = questions;
    const both = async (question: ElementQuestion) => [
      await askKernel(link, question),
      await readListed(link, question),
    ];
    for (const question of questions) {
      const [asked, listed] = await both(question);
      assert.equal(asked, listed, JSON.stringify(question));
    }
    assert.equal((await both(first as ElementQuestion))[0]?.standing, [self('10.0.0.1')]);
    const { verdicts } = await readListed(link, { elements: [], addresses: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] });
    assert.equal(
      [...verdicts.ingress],
      [
        ['10.0.0.1', 'goto ci_one'],
        ['10.0.0.2', 'accept'],
      ],
    );
    assert.equal([...verdicts.egress], [['10.0.0.1', 'goto ci_two']]);
  });
});

test.run();
