/** A VM with one NIC, one disk and two images, and its events, for the tables of its chart. */
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import { type Condition } from '../values/conditions.ts';
import { newDeclared } from '../values/declared.ts';
import type { VmContext } from './vm-context.ts';
import { noLoss } from './vm-loss-context.ts';
import { vmMachine } from './vm-machine.ts';
import type { PortFacts } from '../port/port-protocol.ts';
import type { VmSpec } from './vm-protocol.ts';

export const id = 'vm/t/v';
export const port = 'port/t/v.eth0';
export const volume = 'volume/t/root';
export const kernel = 'image/t/k';
export const initrd = 'image/t/i';

const plain = { addressPairs: [], portSecurity: true, dnsName: null };
export const spec: VmSpec = {
  cpus: 1,
  memoryMib: 256,
  machineType: null,
  restart: 'on-failure',
  running: true,
  host: null,
  placement: { antiAffinity: null },
  hostFailurePolicy: 'none',
  hostFailureSeconds: 20,
  guestAgent: false,
  nics: [{ name: 'eth0', network: 'n', address: null, mac: null, securityGroups: null, ...plain }],
  disks: [{ volume: 'root' }],
  boot: { kernel: 'k', initrd: 'i', commandLine: '' },
  seed: { userData: null, sshKeys: [], network: true },
};
export const bare: VmSpec = { ...spec, nics: [], disks: [], boot: null };
export const host = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
export const proof = { pid: 7, startTime: '9', qemuVersion: '7.2', machineType: 'pc-q35-7.2' };
export const passing = { code: 'disk_busy', message: 'busy', retryable: true };
export const lasting = { code: 'no_kvm', message: 'no', retryable: false };

const upToDate = { type: 'RestartRequired', status: 'False', reason: 'UpToDate', message: '', since: 500 } as const;

/** What a port tells of itself. */
export const factsOf = (address: string, mac: string): PortFacts => ({
  network: 'network/t/n',
  address,
  prefixLength: 24,
  gateway: '10.0.0.1',
  mac,
  mtu: 1450,
  groups: ['security-group/t/default'],
});

/** On its host, in its first run. */
export const held: VmContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec,
  generation: 1,
  observedGeneration: 1,
  conditions: [upToDate],
  wanted: 'running',
  restarting: false,
  graceMs: 10_000,
  awaited: [],
  claimed: [port],
  ports: { [port]: factsOf('10.0.0.5', '02:50:0a:00:00:05') },
  wiring: {},
  proposed: null,
  runSpec: spec,
  runGeneration: 1,
  located: [{ volume, sizeMib: 8, host: 'w1' }],
  host,
  paused: false,
  runEpoch: 1,
  lastHost: 'w1',
  era: 1,
  lastRun: { host: 'w1', incarnationUid: 'L1' },
  nics: {},
  disks: {},
  images: {},
  plugs: {},
  plugRevision: 0,
  machineType: null,
  incarnationUid: 'L1',
  proof: null,
  runningSince: null,
  runs: 1,
  lastEnd: null,
  crashes: 0,
  delayedBy: null,
  leaving: null,
  migration: null,
  lastMigration: null,
  refusal: null,
  ...noLoss,
};
/** Context before the first event. */
export const fresh = {
  ...newDeclared(id),
  claimed: [],
  ports: {},
  runSpec: null,
  host: null,
  lastHost: null,
  runEpoch: 0,
  incarnationUid: null,
  runs: 0,
};
/** Commands that are not answered yet. */
export const waiters = (result: string, ...ids: string[]) => ({
  waiters: ids.map((commandId) => ({ commandId, result })),
});
export const waiting = { awaited: [port] };
export const resting = { wanted: 'stopped' };
/** Between runs. */
export const atRest = { ...resting, runSpec: null, runGeneration: 0, host: null, incarnationUid: null };
export const dying = { wanted: 'deleted', ...waiters('deleted', 'D1') };
/** Without ports: nothing is bound or has to be released. */
export const portless = { claimed: [], ports: {} };
/** The declared spec is also that of the run. */
export const made = (of: VmSpec) => ({ spec: of, runSpec: of });

export const create = (of: VmSpec = spec) => ({ type: 'vm.create', spec: of, labels: {}, protect: false });
export const apply = (of: VmSpec = spec, more: object = {}) => ({ ...create(of), type: 'vm.apply', ...more });
export const update = (of: VmSpec = spec, more: object = {}) => ({ type: 'vm.update', spec: of, ...more });
export const start = { type: 'vm.start' };
export const stop = { type: 'vm.stop', graceMs: 3_000 };
export const restart = { type: 'vm.restart', graceMs: 3_000 };
export const pause = { type: 'vm.pause' };
export const resume = { type: 'vm.resume' };
export const reset = { type: 'vm.reset' };
export const remove = { type: 'vm.delete' };
export const granted = { type: 'quota.granted' };
export const quotaRefused = { type: 'quota.refused', error: { ...lasting, code: 'quota_exceeded' } };
export const portReady = { type: 'port.ready', port, facts: factsOf('10.0.0.5', '02:50:0a:00:00:05') };
export const portDelayed = { type: 'port.delayed', port, error: { ...passing, code: 'host_pending' } };
export const portRefused = { type: 'port.refused', port, path: 'spec.address', error: { ...lasting, code: 'taken' } };
export const tapped = {
  type: 'port.tapped',
  port,
  binding: 'binding/t/v.eth0@w1',
  bindingUid: 'B',
  mac: '02:50:0a:00:00:05',
  mtu: 1450,
  address: '10.0.0.5',
  runEpoch: 1,
};
export const attached = { type: 'volume.attached', volume, uid: 'V', serial: 's', format: 'raw' };
export const provided = (image: string, format = image === kernel ? 'kernel' : 'initrd') => ({
  type: 'image.provided',
  image,
  format,
  sha256: `sha of ${image}`,
});
export const located = { type: 'volume.located', volume, host: 'w1', sizeMib: 8 };
export const placed = { type: 'placed', host, era: 1 };
export const unplaced = { type: 'place.refused', error: passing, reasons: [] };
export const unbound = { type: 'port.unbound', port };
export const gone = { type: 'port.gone', port };
export const portFailed = (error: object) => ({ type: 'port.failed', port, error });
export const volumeRefused = (error: object) => ({ type: 'volume.refused', volume, error });
export const imageRefused = (error: object) => ({ type: 'image.refused', image: kernel, error });
export const running = (incarnationUid: string) => ({ type: 'incarnation.running', host: 'w1', incarnationUid, proof });
export const diskFull = { code: 'disk_full', message: 'the host has no space left', retryable: true };
export const stalled = (incarnationUid: string) => ({
  ...running(incarnationUid),
  type: 'incarnation.stalled',
  error: diskFull,
});
export const paused = (incarnationUid: string) => ({ ...running(incarnationUid), type: 'incarnation.paused' });
export const ended = (reason: string, error: object | null = null, incarnationUid = 'L1') => ({
  type: 'incarnation.ended',
  host: 'w1',
  incarnationUid,
  reason,
  error,
});

export const needs = ['port.bind > port', 'volume.attach > volume', 'image.need > image', 'image.need > image'];
export const releases = [
  'port.rest > port',
  'volume.detach > volume',
  'image.free > image',
  'image.free > image',
  'place.release > cluster',
];
export const locates = ['volume.locate > volume'];

/** A row: state, context and event -> next state and requests. The command id is `C`. */
export const row = (
  state: string,
  changed: object,
  on: Row['on'],
  to: string,
  asks?: readonly string[],
  more: Partial<Row> = {},
): Row => ({
  in: state,
  with: changed as Row['with'] & object,
  on,
  to,
  ...(typeof on !== 'string' && on.type.startsWith('vm.') ? { command: 'C' } : {}),
  ...(asks === undefined ? {} : { asks }),
  ...more,
});

// Changed declarations

export const preparing = 'preparing.asking';
export const failed = { runSpec: null, runGeneration: 0, host: null, incarnationUid: null, failure: lasting };
export const runs = { runningSince: 500 };
/** Each living state, with a context it may be met with. */
export const living: readonly (readonly [string, object])[] = [
  ...['locating', 'placing', 'unplaced', preparing, 'starting', 'backoff'].map((state) => [state, waiting] as const),
  ['running', runs],
  ['stalled', { ...runs, failure: diskFull }],
  ['pausing', { ...runs, paused: true }],
  ['paused', { ...runs, paused: true }],
  ['resuming', runs],
  ['stopping', resting],
  ['releasing', { ...resting, ...waiting }],
  ['stopped', atRest],
  ['failed', failed],
];

export const eth1 = { name: 'eth1', network: 'n', address: '10.0.0.9', mac: null, securityGroups: null, ...plain };
export const eth1Port = 'port/t/v.eth1';
export const more: VmSpec = { ...spec, nics: [...spec.nics, eth1] };
export const both = { [port]: portReady, [eth1Port]: { ...portReady, port: eth1Port } };
export const eth1Facts = factsOf('10.0.0.9', '02:50:0a:00:00:09');
export const eth1Ready = { type: 'port.ready', port: eth1Port, facts: eth1Facts };
export const eth1Refused = { ...portRefused, port: eth1Port };
export const eth1Gone = { type: 'port.gone', port: eth1Port };
export const eth1Claim = 'port.claim > port';

export const did = (state: string, changed: object, on: Row['on'], rest: Partial<Row> = {}) =>
  decided(vmMachine, held, row(state, changed, on, '', undefined, rest));
export const condition = (context: Readonly<Record<string, unknown>>, of: string): Condition | undefined =>
  (context['conditions'] as readonly Condition[]).find(({ type }) => type === of);
export const restartOf = (context: Readonly<Record<string, unknown>>) => {
  const { status, message } = condition(context, 'RestartRequired') ?? { status: 'absent', message: '' };
  return [status, message];
};
export const needed = (fields: string) => [
  'True',
  `changed and waiting for the next start: ${fields}; a restart of the VM applies it`,
];
export const none = ['False', ''];
export const generations = (context: Readonly<Record<string, unknown>>) => [
  context['generation'],
  context['runGeneration'],
  context['observedGeneration'],
];

type Step = readonly [on: Row['on'], asks: readonly string[]];
/** One event after the other, which leave it in its state. @returns the last context */
export function follow(state: string, changed: object, steps: readonly Step[]): VmContext {
  let context = changed;
  for (const [on, asks] of steps) {
    const after = did(state, context, on);
    assert.equal([after.state, after.asks], [state, asks], JSON.stringify(on));
    context = after.context;
  }
  return context as VmContext;
}
/** What a condition says of disks or NICs that come and go. */
export function attachedSays(context: VmContext, type: 'DisksAttached' | 'NicsAttached'): unknown {
  const { status, reason, message } = condition(context as never, type) ?? { status: 'absent' };
  return [status, reason, message];
}
