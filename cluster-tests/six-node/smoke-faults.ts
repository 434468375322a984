/**
 * The faults of `fresh-smoke`, each with what must hold while it lasts. They are those of nemesis.ts, aimed at the
 * nodes of the six-node cluster; a new one is added to this table.
 */
import { killed, parted, primaryKilled, type Fault } from '../cluster/nemesis.ts';
import { killInside, sightOf } from '../cluster/crash-sight.ts';
import type { SixNodes } from './six-node-boot.ts';

export interface SmokeFault {
  readonly name: string;
  /** While it lasts, visits are answered all the same: what carries them is not what broke. */
  readonly goesOn: boolean;
  /** @param host the node that the VM of the web app runs on */
  readonly fault: (six: SixNodes, host: string) => Fault;
}

/** Kills the VM's QEMU; its restart policy starts it again. */
const guestKilled = (host: string): Fault => ({
  name: `kill -9 QEMU on ${host}`,
  async inject({ topology }) {
    for (const qemu of (await sightOf(topology, host)).qemus) await killInside(topology, host, qemu);
    return () => Promise.resolve();
  },
});

/** By the word that `--fault` takes. */
export const smokeFaults: Readonly<Record<string, SmokeFault>> = {
  controller: {
    name: 'kill -9 of a controller',
    goesOn: true,
    fault: ({ controllers }) => killed(controllers[1] ?? ''),
  },
  store: { name: "kill -9 of the store's primary", goesOn: true, fault: ({ boxes }) => primaryKilled(boxes) },
  worker: { name: 'kill -9 of the worker of the VM', goesOn: true, fault: (_, host) => killed(host) },
  partition: {
    name: 'partition of the worker from controllers and store',
    goesOn: true,
    fault: ({ controllers }, host) => parted(host, controllers),
  },
  // A gateway forwards only while its worker renews its permit (decision 0017), and there is no other one.
  gateway: { name: 'kill -9 of the gateway', goesOn: false, fault: ({ gateways }) => killed(gateways[0] ?? '') },
  guest: { name: 'kill -9 of QEMU', goesOn: false, fault: (_, host) => guestKilled(host) },
};
