/** What QEMU says when it does not start, the errors of its control socket, and what they mean for the caller. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

export const incarnationErrors: readonly ErrorRule[] = [
  {
    says: /Failed to get .*lock|Is another process using the image/i,
    group: 'fault',
    code: 'disk_locked',
    advice: 'Another process writes this disk; stop that incarnation first.',
  },
  {
    says: /could not configure \/dev\/net\/tun|could not open \/dev\/net\/tun|TUNSETIFF/i,
    group: 'fault',
    code: 'tap_busy',
    advice: 'The tap is held by another process or gone; create the tap again.',
  },
  {
    says: /Could not open '.*': No such file/i,
    group: 'defeat',
    code: 'disk_missing',
    advice: 'Ensure the replica on this host first.',
  },
  {
    says: /Image is not in qcow2 format|not a valid .* image/i,
    group: 'defeat',
    code: 'disk_damaged',
    advice: 'The volume file is not what its format says; restore it.',
  },
  {
    says: /unsupported machine type|Property .* not found|is not a valid|invalid option|Parameter .* expects/i,
    group: 'defeat',
    code: 'qemu_refused',
    advice: 'This QEMU does not take the incarnation as declared; use one that does or change the machine type.',
  },
  {
    says: /cannot allocate memory|cannot set up guest memory/i,
    group: 'fault',
    code: 'kernel_exhausted',
    advice: 'The host has not enough memory for this machine.',
  },
  {
    says: /qemu|exited with/i,
    group: 'fault',
    code: 'qemu_failed',
    advice: 'Try again; the reason is in the message.',
  },
];

export const qmpTimeout = (what: string, withinMs: number): PhotonError =>
  new PhotonError(
    'unknown',
    'qmp_timeout',
    `${what}: QEMU gave no answer within ${withinMs} ms; it may be stopped. Observe first.`,
  );

export const qmpClosed = (what: string): PhotonError =>
  new PhotonError(
    'unknown',
    'qmp_closed',
    `${what}: QEMU's control socket closed; it has probably ended. Observe first.`,
  );

export const qmpRefused = (what: string, text: string): PhotonError =>
  new PhotonError('fault', 'qmp_refused', `${what}: QEMU refused: ${text}.`);

export const incarnationMissing = (actor: string): PhotonError =>
  new PhotonError(
    'fault',
    'incarnation_missing',
    `No QEMU runs for this run of ${actor} on this host; start it first.`,
  );

export const incarnationAlive = (actor: string, pid: number): PhotonError =>
  new PhotonError('fault', 'incarnation_alive', `QEMU ${pid} of ${actor} still runs; stop it before its folder goes.`);

export const olderRunAlive = (actor: string, runEpoch: number, pid: number): PhotonError =>
  new PhotonError('fault', 'older_run_alive', `Run ${runEpoch} of ${actor} still has QEMU ${pid}; stop it first.`);

export const fileMissing = (code: 'disk_missing' | 'image_missing', what: string): PhotonError =>
  new PhotonError('defeat', code, `${what} is not on this host; make it here before the incarnation starts.`);

export const placedEarlier = (actor: string, placed: number, era: number): PhotonError =>
  new PhotonError(
    'fault',
    'placed_in_older_era',
    `${actor} was placed in era ${placed}, now is era ${era}; the cluster must place it again; nothing was started.`,
  );
