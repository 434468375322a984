/** A run of a VM with two NICs, and its events, for the tables of its chart. */
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import { incarnationMachine } from './incarnation-machine.ts';
import { newIncarnation, type IncarnationContext } from './incarnation-messages.ts';

export const id = 'incarnation/t/v@w1';
export const vm = 'vm/t/v';
export const bindings = ['binding/t/v.eth0@w1', 'binding/t/v.eth1@w1'] as const;
export const spec = {
  owner: { actor: id, uid: 'L1', runEpoch: 2 },
  vm,
  cpus: 1,
  memoryMib: 256,
  machineType: null,
  nics: bindings.map((binding, n) => ({ port: `port/t/v.eth${n}`, binding, bindingUid: 'B', mac: 'm', mtu: 1450 })),
  disks: [],
  boot: null,
};
export const proof = { pid: 7, startTime: '9', qemuVersion: '7.2', machineType: 'pc-q35-7.2' };
export const held: IncarnationContext = { ...newIncarnation(id), vm, spec, proof, startedAt: 500 };
export const fresh = { vm: '', spec: null, proof: null, startedAt: null };
export const unstarted = { proof: null, startedAt: null, unwired: bindings };
export const first = { unwired: [bindings[0]] };

export const start = { type: 'incarnation.start', vm, spec };
/** The VM is at its next run: this one was born of a start repeated too late. */
export const another = { ...start, spec: { ...spec, owner: { ...spec.owner, uid: 'LIFE-2' } } };
export const stop = { type: 'incarnation.stop', graceMs: 3_000, incarnationUid: 'L1' };
export const wired = (binding: string) => ({ type: 'binding.wired', binding, proof: {} });
export const passing = { code: 'qmp_lost', message: 'lost', retryable: true };
export const lasting = { code: 'no_kvm', message: 'no', retryable: false };
export const unwirable = { type: 'binding.unwired', binding: bindings[0], error: lasting };
export const done = (effect: string, fields: object = {}) => ({ type: `${effect}.done`, ...fields });
export const failed = (effect: string, error: object) => ({ type: `${effect}.failed`, error });
export const unknown = (effect: string) => ({ type: `${effect}.unknown`, error: passing });
export const started = done('qemu.start', proof);
export const over = (reason: string) => done('qemu.watch', { reason, detail: '' });

export const wire = 'binding.wire > binding';
export const told = 'incarnation.running > vm';
export const stalled = 'incarnation.stalled > vm';
export const watchDisks = 'qemu.watch-disks';
export const toldEnd = 'incarnation.ended > vm';

export const row = (state: string, changed: object, on: Row['on'], to: string, asks: readonly string[]): Row => ({
  in: state,
  with: changed as Row['with'] & object,
  on,
  to,
  asks,
});

export const answer = (one: Row) => decided(incarnationMachine, held, one);
export const sent = (one: Row, type: string) =>
  answer(one)
    .asked.map(({ params }) => (params as { to: string; event: Record<string, unknown> } | undefined) ?? null)
    .find((params) => params?.event?.['type'] === type);
