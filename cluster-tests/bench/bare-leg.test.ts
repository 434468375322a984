/**
 * The bare leg measures every step, and its namespaces are not visible on the machine. How long the steps take is for
 * the bench to judge. Needs root.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runBareLeg } from './bare-leg.ts';

const test = suite('bare-leg');
const namespaces = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });

test('every step of a network has its samples, and no namespace is left', async () => {
  const samples = await runBareLeg({ leg: 'network', runs: 2 });
  const steps = [
    'network_realize',
    'tap_create',
    'tap_move',
    'port_realize',
    'tap_delete',
    'dnsmasq_ready',
    'network_teardown',
  ];
  assert.equal(Object.keys(samples).sort(), [...steps].sort());
  for (const [step, values] of Object.entries(samples)) {
    assert.is(values.length, 2, step);
    assert.ok(
      values.every((ms) => ms > 0 && ms < 10_000),
      step,
    );
  }
  assert.not.match(namespaces(), /^(?:vpc|w1|under)\b/m);
});

test('every port has a sample of its own', async () => {
  assert.is((await runBareLeg({ leg: 'ports', count: 5 }))['port']?.length, 5);
});

test('a batch of ports is one sample', async () => {
  assert.is((await runBareLeg({ leg: 'batch', count: 20 }))['batch']?.length, 1);
});

test('a chain is replaced, a port admitted and a member added as often as asked', async () => {
  const rules = await runBareLeg({ leg: 'rules', runs: 3, count: 20, rules: 10 });
  assert.is(rules['rules_replace']?.length, 3);
  assert.is((await runBareLeg({ leg: 'admit', runs: 2, count: 300 }))['port_admit']?.length, 2);
  assert.is((await runBareLeg({ leg: 'members', runs: 2, count: 1_000 }))['member_add']?.length, 2);
});

test.run();
