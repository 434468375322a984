/** A rollout of three hosts that have verified their systems, for tests of what it decides. */
import { newDeclared } from '../values/declared.ts';
import type { HostProgress, RolloutContext } from './rollout-hosts.ts';
import type { RolloutSpec } from './rollout-protocol.ts';

const systemOf = (host: string): string => `/nix/store/${'a'.repeat(32)}-nixos-system-${host}`;
const spec: RolloutSpec = {
  systems: ['w1', 'w2', 'w3'].map((host) => ({ host, system: systemOf(host) })),
  from: 'http://192.0.2.1/cache',
  canary: null,
  maxParallel: 1,
  holdAfterCanary: false,
  deadlineSeconds: 60,
};
export const line = (host: string, change: Partial<HostProgress> = {}): HostProgress => ({
  host,
  system: systemOf(host),
  told: 'receive',
  phase: 'verified',
  why: '',
  since: 500,
  orderedAt: 900,
  standing: 'present',
  absentSince: 0,
  untried: false,
  ...change,
});
export const under: RolloutContext = {
  ...newDeclared('rollout/system/r'),
  uid: 'U1',
  spec,
  generation: 1,
  hosts: ['w1', 'w2', 'w3'].map((host) => line(host)),
  startedAt: 400,
  endedAt: 0,
};
export const of = (...changes: readonly Partial<HostProgress>[]) => ({
  hosts: ['w1', 'w2', 'w3'].map((host, at) => line(host, changes[at])),
});
export const given = (change: Partial<RolloutSpec>) => ({ ...spec, ...change });
export const waiting = { told: 'nothing', phase: 'waiting' } as const;
export const working = { told: 'activate', phase: 'probing' } as const;
export const kept = { told: 'confirm', phase: 'confirmed' } as const;
export const confirming = { told: 'activate', phase: 'confirming' } as const;
