/** Errors of a VPC's way out: the uplink of an external network, and its namespace on a gateway host. */
import type { UplinkSpec } from '@photoncloud/machines/values/router-elements';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

/** Of `ip`, when a device on the uplink is made or changed. */
export const uplinkErrors: readonly ErrorRule[] = [
  {
    matches: /Address already in use/i,
    group: 'fault',
    code: 'kernel_busy',
    advice: 'A gateway namespace that was taken away is still being removed by the kernel; try again shortly.',
  },
  {
    matches: /Cannot find device|does not exist|No such device/i,
    group: 'fault',
    code: 'uplink_missing',
    advice: 'The interface that the external network names does not exist on this gateway host; make it.',
  },
  {
    matches: /Invalid argument|Numerical result out of range/i,
    group: 'defeat',
    code: 'uplink_mtu',
    advice: 'The interface cannot carry the external network: compare its kind and MTU with what is declared.',
  },
];

export const uplinkMissing = (host: string, uplink: string): PhotonError =>
  new PhotonError(
    'fault',
    'uplink_missing',
    `Gateway host ${host} has no interface ${uplink}; make it, or name another one in the external network.`,
  );

export const uplinkDown = (host: string, uplink: string): PhotonError =>
  new PhotonError('fault', 'uplink_down', `Interface ${uplink} of gateway host ${host} is down; set it up.`);

export const uplinkMtu = (host: string, uplink: UplinkSpec, mtu: number): PhotonError =>
  new PhotonError(
    'defeat',
    'uplink_mtu',
    `Interface ${uplink.interface} of gateway host ${host} has MTU ${mtu}, but the external network declares ` +
      `${uplink.mtu}; raise the one or lower the other.`,
  );

export const uplinkUnfit = (host: string, uplink: string): PhotonError =>
  new PhotonError(
    'defeat',
    'uplink_unfit',
    `Interface ${uplink} of gateway host ${host} is no Ethernet interface; name one that leads outside.`,
  );
