/** Error messages of a QEMU that does not start and errors of its control socket, with the error that each becomes. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

export const incarnationErrors: readonly ErrorRule[] = [
  {
    matches: /Failed to get .*lock|Is another process using the image/i,
    group: 'fault',
    code: 'disk_locked',
    advice: 'Another process has this disk open for writing; stop its incarnation first.',
  },
  {
    matches: /could not configure \/dev\/net\/tun|could not open \/dev\/net\/tun|TUNSETIFF/i,
    group: 'fault',
    code: 'tap_busy',
    advice: 'Another process has the tap open, or the tap is gone; create the tap again.',
  },
  {
    matches: /Could not open '.*': No such file/i,
    group: 'defeat',
    code: 'disk_missing',
    advice: 'Ensure the replica on this host first.',
  },
  {
    // Whatever QEMU says about a disk that is there and that it may open: it will say the same at the next start.
    matches: new RegExp(
      'Image is not in qcow2 format|not a valid .* image|' +
        '-blockdev .*: (?!.*(No space|Cannot allocate|Too many|Permission|Input/output))',
      'i',
    ),
    group: 'defeat',
    code: 'disk_damaged',
    advice: 'The volume file does not have its declared format; restore it.',
  },
  {
    matches: /unsupported machine type|Property .* not found|is not a valid|invalid option|Parameter .* expects/i,
    group: 'defeat',
    code: 'qemu_refused',
    advice: 'This QEMU does not support the declared VM; use a QEMU that does, or change the machine type.',
  },
  {
    matches: /cannot allocate memory|cannot set up guest memory/i,
    group: 'fault',
    code: 'kernel_exhausted',
    advice: 'The host has not enough memory for this VM.',
  },
  {
    matches: /qemu|exited with/i,
    group: 'fault',
    code: 'qemu_failed',
    advice: 'Try again; the message contains the reason.',
  },
];

export const qmpTimeout = (what: string, withinMs: number): PhotonError =>
  new PhotonError(
    'unknown',
    'qmp_timeout',
    `${what}: QEMU gave no answer within ${withinMs} ms; its process may be stopped. Observe it first.`,
  );

export const qemuSilent = (what: string, withinMs: number): PhotonError =>
  new PhotonError(
    'unknown',
    'qemu_silent',
    `${what}: QEMU was started and did not answer within ${withinMs} ms; its process may run. Observe it first.`,
  );

export const qmpClosed = (what: string): PhotonError =>
  new PhotonError(
    'unknown',
    'qmp_closed',
    `${what}: QEMU's control socket closed; its process has probably ended. Observe it first.`,
  );

export const qmpRefused = (what: string, text: string): PhotonError =>
  new PhotonError('fault', 'qmp_refused', `${what}: QEMU refused: ${text}.`);

export const incarnationMissing = (actor: string): PhotonError =>
  new PhotonError(
    'fault',
    'incarnation_missing',
    `There is no QEMU process of this run of ${actor} on this host; start it first.`,
  );

export const diskAbsent = (actor: string, volume: string): PhotonError =>
  new PhotonError('defeat', 'disk_absent', `${actor} has no shared disk ${volume}; attach it, and restart the VM.`);

export const plugUnsupported = (actor: string): PhotonError =>
  new PhotonError(
    'defeat',
    'plug_unsupported',
    `The QEMU of ${actor} has no ports for more devices: an older release has started it. Restart the VM.`,
  );

export const plugImpossible = (processor: string): PhotonError =>
  new PhotonError(
    'defeat',
    'plug_impossible',
    `Devices are plugged into a guest that runs on hosts with x64 or arm64 only, and this one is ${processor}. ` +
      'Restart the VM, which begins with what is declared.',
  );

export const sizeUnseen = (volume: string, sizeMib: number, why: string): PhotonError =>
  new PhotonError(
    'fault',
    'size_unseen',
    `${volume} has grown to ${sizeMib} MiB, which its guest does not see: ${why} Restart the VM, which finds it then.`,
  );

export const incarnationAlive = (actor: string, pid: number): PhotonError =>
  new PhotonError('fault', 'incarnation_alive', `QEMU process ${pid} of ${actor} still runs; stop it first.`);

export const olderRunAlive = (actor: string, runEpoch: number, pid: number): PhotonError =>
  new PhotonError(
    'fault',
    'older_run_alive',
    `QEMU process ${pid} of run ${runEpoch} of ${actor} still runs; stop it.`,
  );

export const fileMissing = (code: 'disk_missing' | 'image_missing', what: string): PhotonError =>
  new PhotonError('defeat', code, `${what} is not on this host; ensure it here before the incarnation starts.`);

export const placedEarlier = (actor: string, placed: number, era: number): PhotonError =>
  new PhotonError(
    'fault',
    'placed_in_older_era',
    `${actor} was placed in era ${placed}, this is era ${era}; the cluster must place it again, nothing was started.`,
  );
