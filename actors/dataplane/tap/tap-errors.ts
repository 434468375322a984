/** What `ip` says when a tap cannot be made, moved or wired, and what that means for the caller. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

export const tapErrors: readonly ErrorRule[] = [
  {
    says: /open: No such file|\/dev\/net\/tun/i,
    group: 'defeat',
    code: 'tun_missing',
    advice: 'The host has no /dev/net/tun; load the tun module or give the worker the device.',
  },
  {
    says: /TUNSETIFF.*busy|TUNSETIFF.*exists/i,
    group: 'fault',
    code: 'tap_busy',
    advice: 'Something else holds a tap of this name; observe and try again.',
  },
  {
    says: /TUNSETIFF.*(Invalid|not permitted)/i,
    group: 'defeat',
    code: 'tap_refused',
    advice: 'The kernel does not make taps here; the host needs an operator.',
  },
];

export const tapMissing = (tap: string, port: string): PhotonError =>
  new PhotonError(
    'fault',
    'tap_missing',
    `Tap ${tap} of ${port} is not there; create it, let QEMU take it, then wire it.`,
  );

export const tapBusy = (tap: string): PhotonError =>
  new PhotonError(
    'fault',
    'tap_busy',
    `Tap ${tap} of an earlier run is still held by a process; stop its incarnation first.`,
  );

export const nameTaken = (name: string): PhotonError =>
  new PhotonError(
    'defeat',
    'name_taken',
    `Interface ${name} exists and is not marked as ours; an operator must remove or rename it.`,
  );

export const networkMissing = (network: string): PhotonError =>
  new PhotonError(
    'fault',
    'network_missing',
    `There is no bridge of ${network} on this host; ensure the segment with this network first.`,
  );

export const tapDrifted = (tap: string, drift: readonly string[]): PhotonError =>
  new PhotonError(
    'fault',
    'tap_drifted',
    `Tap ${tap} was wired, but reads back differently: ${drift.join('; ')}. Wire it again.`,
  );
