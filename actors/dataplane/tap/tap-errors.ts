/** Error messages of `ip` when a tap cannot be made, moved or wired, with the error that each becomes. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

export const tapErrors: readonly ErrorRule[] = [
  {
    matches: /^absent /,
    group: 'fault',
    code: 'tap_missing',
    advice: 'The tap is gone; bind the port again.',
  },
  {
    matches: /open: No such file|\/dev\/net\/tun/i,
    group: 'defeat',
    code: 'tun_missing',
    advice: 'The host has no /dev/net/tun; load the tun module or give the worker the device.',
  },
  {
    matches: /TUNSETIFF.*busy|TUNSETIFF.*exists/i,
    group: 'fault',
    code: 'tap_busy',
    advice: 'Another process has a tap of this name open; observe it and try again.',
  },
  {
    matches: /TUNSETIFF.*(Invalid|not permitted)/i,
    group: 'defeat',
    code: 'tap_refused',
    advice: 'The kernel refuses to make taps here; an operator must look at the host.',
  },
  {
    matches: /Exchange full/i,
    group: 'defeat',
    code: 'network_full',
    advice: 'A bridge of Linux takes 1,023 ports; put the port on another host, or into another network.',
  },
];

export const tapMissing = (tap: string, port: string): PhotonError =>
  new PhotonError('fault', 'tap_missing', `Tap ${tap} of ${port} does not exist; create it, start QEMU, then wire it.`);

export const tapBusy = (tap: string): PhotonError =>
  new PhotonError(
    'fault',
    'tap_busy',
    `Tap ${tap} of an earlier run is still open in a process; stop that incarnation first.`,
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
