/**
 * The bare leg measures every step it is asked for and leaves nothing: no namespace of the machine, no process, also when
 * it is stopped in the middle. How long the steps take is the bench's business. Needs root.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { processesWithArgument } from '../cluster/process-identity.ts';
import { runBareLeg } from './bare-leg.ts';

const test = suite('bare-leg');
const namespaces = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });
const legs = () => processesWithArgument((argument) => argument.endsWith('bench/bare-leg.sh'));

test('every step of a network has its samples, and nothing is left', async () => {
  const before = namespaces();
  const samples = await runBareLeg({ leg: 'network', runs: 2 });
  const steps = [
    'network_realize', 'tap_create', 'tap_move', 'port_realize', 'tap_delete', 'dnsmasq_ready', 'network_teardown',
  ];
  assert.equal(Object.keys(samples).sort(), [...steps].sort());
  for (const [step, values] of Object.entries(samples)) {
    assert.is(values.length, 2, step);
    assert.ok(values.every((ms) => ms > 0 && ms < 10_000), step);
  }
  assert.is(namespaces(), before);
  assert.is(legs().length, 0);
});

test('ports are counted one by one', async () => {
  assert.is((await runBareLeg({ leg: 'ports', count: 5 }))['port']?.length, 5);
});

test.run();
