/** K28 finds a deployment that deletes what it does not manage, and an object that passes to another one too early. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkManagedObjects } from './deployments.ts';
import type { StoreFact } from './store-facts.ts';

const [web, ops, set] = ['deployment/t/web', 'deployment/t/ops', 'address-set/t/s'];

function record(run: number, actor: string, managedBy?: string, change: object = {}): StoreFact {
  const head = JSON.stringify({ uid: 'U1', status: 'live', state: 'ready', ...change });
  const context = JSON.stringify({ managedBy });
  return { atMs: run, by: 'c1.1', shard: '1', run, fact: 'record', actor, fields: { head, context } };
}
const fieldsOf = (fact: StoreFact) => ('fields' in fact ? fact.fields : {});
const gone = (run: number, actor: string): StoreFact => record(run, actor, undefined, { status: 'removed' });
function deleted(run: number, by: string): StoreFact {
  const cause = `command:${by}:1-U9.0.4`;
  const step = { version: 2, at: 1, from: 'ready', to: 'gone', kind: 'transition', asked: [], changed: {} } as const;
  const entry = { ...step, event: { type: 'address-set.delete' }, cause };
  return { atMs: run, by: 'c1.1', shard: '1', run, fact: 'history', actor: set, entry };
}
const whats = (...facts: readonly StoreFact[]): readonly string[] => checkManagedObjects(facts).map(({ what }) => what);
const both = [record(0, web), record(1, ops)];

test('a deployment deletes what it manages, whatever is written first', () => {
  assert.equal(whats(...both, record(2, set, web), gone(3, set), deleted(3, web)), []);
  assert.equal(whats(...both, record(2, set, web), deleted(3, web), gone(3, set)), []);
  assert.equal(whats(...both, record(2, set), deleted(3, 'ann')), [], 'a person may delete anything');
});

test('one that deletes what another one, or nobody, manages is found', () => {
  assert.equal(whats(...both, record(2, set, ops), gone(3, set), deleted(3, web)), [
    `${web} deletes ${set}, which ${ops} manages`,
  ]);
  assert.equal(whats(...both, record(2, set), deleted(3, web)), [`${web} deletes ${set}, which nobody manages`]);
});

test('what nobody manages may be replaced, and what another one manages may not', () => {
  const context = JSON.stringify({ uid: 'U9', steps: [{ action: 'replace' }] });
  const plan = {
    ...record(1, 'plan/t/web.p1'),
    fields: { ...fieldsOf(record(1, 'plan/t/web.p1')), context },
  } as StoreFact;
  assert.equal(whats(...both, plan, record(2, set), deleted(3, web)), []);
  assert.equal(whats(...both, plan, record(2, set, ops), gone(3, ops), deleted(4, web)), [], 'it has ended');
  assert.equal(whats(...both, plan, record(2, set, ops), deleted(3, web)), [
    `${web} deletes ${set}, which ${ops} manages`,
  ]);
});

test('an object passes to another deployment once the first has ended, and not before', () => {
  const early = [...both, record(2, set, web), record(3, set, ops)];
  assert.equal(whats(...early), [`${set} goes from ${web}, which exists, to ${ops}`]);
  assert.equal(whats(...both, record(2, set, web), gone(3, web), record(4, set, ops)), []);
  const again = record(4, web, undefined, { uid: 'U2' });
  assert.equal(
    whats(...both, record(2, set, web), gone(3, web), again, record(5, set, ops)),
    [],
    'another of its name',
  );
  const other = record(4, set, ops, { uid: 'U2' });
  assert.equal(whats(...both, record(2, set, web), gone(3, set), other), [], 'another object of that name');
  assert.equal(whats(...both, record(2, set, web), record(3, set)), [
    `${set} goes from ${web}, which exists, to nobody`,
  ]);
});

test.run();
