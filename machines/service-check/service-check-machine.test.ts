/** Decisions of the health checks on a host: what is checked, what is reported, and what a failure or an end does. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { serviceCheckMachine, type ServiceCheckContext } from './service-check-machine.ts';

const serviceIp = 'service-ip/t/web';
const [one, other] = ['10.0.0.8', '10.0.0.9'];
const spec = {
  serviceIp,
  vpc: 'vpc/t/main',
  check: { protocol: 'tcp', port: 80, path: '/', intervalSeconds: 5, timeoutSeconds: 2, rise: 2, fall: 3 },
} as const;
const fresh: ServiceCheckContext = {
  id: 'service-check/t/web@w1',
  spec: null,
  serviceIp: '',
  round: 0,
  backends: [],
  owed: false,
  tries: 0,
  failure: null,
};
const backend = (address: string, healthy: boolean | null, streak = 0) => ({ address, healthy, streak, detail: '' });
const asked: ServiceCheckContext = { ...fresh, spec, serviceIp, round: 3, backends: [backend(one, true, 1)] };
const ensure = (backends: readonly object[], round = 4) => ({ type: 'check.ensure', spec, backends, round });
const error = { code: 'segment_missing', message: 'x', retryable: true };
const failed = { type: 'service.check.failed', error };
const fenced = { type: 'service.check.failed', error: { code: 'host_gone', message: 'x', retryable: false } };

const rows: readonly Row[] = [
  {
    in: 'born',
    with: { ...fresh },
    on: ensure([{ address: one, healthy: null }]),
    to: 'checking',
    asks: ['service.check'],
  },
  {
    in: 'born',
    with: { ...fresh },
    on: { type: 'check.drop' },
    from: serviceIp,
    to: 'gone',
    asks: ['check.ended > service-ip'],
  },
  { in: 'checking', on: ensure([]), to: 'checking', asks: ['service.check'] },
  {
    in: 'checking',
    on: { type: 'service.check.done', backends: [backend(one, false)] },
    to: 'checking',
    asks: ['check.observed > service-ip', 'service.check'],
  },
  { in: 'checking', on: failed, to: 'backoff', asks: [] },
  { in: 'checking', with: { tries: 2 }, on: failed, to: 'backoff', asks: ['check.delayed > service-ip'] },
  { in: 'checking', on: fenced, to: 'gone', asks: ['check.ended > service-ip'] },
  { in: 'checking', on: { ...failed, type: 'service.check.unknown' }, to: 'backoff', asks: [] },
  { in: 'checking', on: { type: 'host.gone' }, to: 'gone', asks: ['check.ended > service-ip'] },
  { in: 'checking', on: { type: 'check.drop' }, to: 'gone', asks: ['check.ended > service-ip'] },
  { in: 'backoff', with: { failure: error }, on: 'backoff', to: 'checking', asks: ['service.check'] },
  { in: 'backoff', on: ensure([]), to: 'checking', asks: ['service.check'] },
  { in: 'backoff', on: { type: 'check.drop' }, to: 'gone', asks: ['check.ended > service-ip'] },
  { in: 'backoff', on: { type: 'host.gone' }, to: 'gone', asks: ['check.ended > service-ip'] },
];

test('decisions', () => {
  assert.equal(disagreements(serviceCheckMachine, asked, rows), []);
});

const after = (context: object, on: Row['on']) => decided(serviceCheckMachine, context, { in: 'checking', on, to: '' });
const sent = (step: ReturnType<typeof after>) =>
  (step.asked as readonly { params: { event?: Readonly<Record<string, unknown>> } }[]).flatMap(
    ({ params }) => params.event ?? [],
  );

test('a repeated backend keeps its results in a row; one that is started anew, or was not there, does not', () => {
  const { context } = after(
    asked,
    ensure([
      { address: one, healthy: true },
      { address: other, healthy: null },
    ]),
  );
  assert.equal(context['backends'], [backend(one, true, 1), backend(other, null)]);
  assert.is(context['round'], 4);
  assert.equal(after(asked, ensure([{ address: one, healthy: null }])).context['backends'], [backend(one, null)]);
  assert.equal(after(asked, ensure([{ address: other, healthy: true }])).context['backends'], [backend(other, true)]);
});

test('verdicts are reported with the round of the newest request, without backends that have none', () => {
  const two = { ...asked, backends: [backend(one, true), backend(other, null)] };
  const gone = { ...backend('10.0.0.10', false), detail: 'of a backend that is not wanted any more' };
  const refused = { ...backend(one, false), detail: 'connection refused' };
  const [told] = sent(after(two, { type: 'service.check.done', backends: [gone, refused] }));
  assert.equal(told, {
    type: 'check.observed',
    host: 'w1',
    round: 3,
    verdicts: [{ address: one, healthy: false, detail: 'connection refused' }],
  });
});

test('a service IP that was told of trouble is told of the first results after it', () => {
  const { context } = after({ ...asked, tries: 2 }, failed);
  assert.is(context['owed'], true);
  const [effect] = decided(serviceCheckMachine, context, { in: 'backoff', on: 'backoff', to: '' }).asked;
  assert.is((effect?.params as { once: boolean }).once, true);
  assert.is(after(context, { type: 'service.check.done', backends: [] }).context['owed'], false);
});

test('the end of a fenced host is told apart', () => {
  assert.equal(sent(after(asked, { type: 'host.gone' })), [{ type: 'check.ended', host: 'w1', fenced: true }]);
  assert.equal(sent(after(asked, { type: 'check.drop' })), [{ type: 'check.ended', host: 'w1', fenced: false }]);
});

test.run();
