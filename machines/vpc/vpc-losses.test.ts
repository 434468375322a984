/** A VPC one of whose hosts has lost a network, such as its bridge: who is told, and when it is realized again. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided } from '../values/decision-table-for-tests.ts';
import { vpcMachine } from './vpc-machine.ts';
import { failed, held, known, network, passing, proven, two } from './vpc-rows-for-tests.ts';

const after = (context: object, on: { readonly type: string }) =>
  decided(vpcMachine, context, { in: 'ready', on, to: '' });

test('a network that a host has lost is told so, and is realized again once that host has proven it', () => {
  const settled = { ...held, ...two, networks: { 'network/t/a': { ...known(network('a')), realized: 1 } } };
  const said = (lost: object) => ({ ...failed(2, passing, 'networks'), ...lost });
  assert.equal(after(settled, said({})).asks, [], 'nothing of it is gone');
  const gone = after(settled, said({ lost: 'network/t/a' }));
  assert.equal(
    gone.asked.map(({ params }) => (params as { event: object }).event),
    [{ type: 'network.delayed', generation: 1, host: 'w2', error: passing, lost: true }],
  );
  assert.equal(after(gone.context, proven(1, { networks: 2 })).asks, [], 'the other host has not lost it');
  assert.equal(after(gone.context, proven(2, { networks: 2 })).asks, ['network.realized > network']);
  assert.equal(after(settled, said({ lost: 'network/t/other' })).asks, [], 'it was deleted meanwhile');
});

test.run();
