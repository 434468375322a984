/**
 * NICs that are plugged into a QEMU that runs, in the order of a start: QEMU has the tap open, which is made in the
 * namespace of the host; then its binding wires it; then the guest gets the NIC. So a guest never has one over which it
 * could not yet get its address, or send past the rules.
 * Called by qemu-plug.ts, and by qemu-start.ts for the checks.
 */
import { slotted } from '@photoncloud/machines/values/device-slots';
import type { IncarnationNic } from '@photoncloud/machines/values/wiring';
import { z } from 'zod';
import type { DevicePlug } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { keepRecords } from '../metadata/metadata-records.ts';
import { allowing } from '../migration/migration-settings.ts';
import { ownerOfAlias } from '../owner-alias.ts';
import { tapMissing } from '../tap/tap-errors.ts';
import { checkActor, checkCount, checkMac, checkUid } from '../wiring-checks.ts';
import { nicDevice, nicPort, tapBackend } from './qemu-arguments.ts';
import { giveTap } from './qemu-descriptors.ts';
import { keptNic } from './qemu-folder.ts';
import type { DeviceBay } from './qemu-plug.ts';
import type { QemuRun } from './qemu-resize.ts';
import { qmpAnswerMs } from './qemu-session.ts';

/** @throws defeat `spec_invalid` */
export function checkNics(nics: readonly IncarnationNic[], slots: number): void {
  slotted(nics).forEach(([slot, nic], index) => {
    checkActor(`nics.${index}.binding`, nic.binding);
    checkUid(`nics.${index}.bindingUid`, nic.bindingUid);
    checkMac(`nics.${index}.mac`, nic.mac);
    checkCount(`nics.${index}.mtu`, nic.mtu, 576, 65535);
    checkCount(`nics.${index}.slot`, slot, 0, slots - 1);
  });
}

export const tapOf = (site: DataplaneSite, { binding, bindingUid }: IncarnationNic): string =>
  site.names.tapOf({ actor: binding, uid: bindingUid });

/** Its tap is there for a QEMU to open, with our mark. @throws fault `tap_missing` */
export async function requireTap(site: DataplaneSite, nic: IncarnationNic): Promise<void> {
  const tap = await site.links.host.link(tapOf(site, nic));
  const owner = ownerOfAlias(site.options.cluster, tap?.ifalias);
  if (owner?.actor !== nic.binding || owner.uid !== nic.bindingUid) throw tapMissing(tapOf(site, nic), nic.port);
}

export class NicBay implements DeviceBay {
  readonly kind = 'nic';
  readonly wanted: DeviceBay['wanted'];
  readonly #site: DataplaneSite;
  readonly #run: QemuRun;
  readonly #ask: DevicePlug;

  constructor(site: DataplaneSite, run: QemuRun, ask: DevicePlug, nics: readonly IncarnationNic[]) {
    this.#site = site;
    this.#run = run;
    this.#ask = ask;
    this.wanted = slotted(nics).map(([slot, nic]) => ({
      kept: keptNic(slot, nic),
      plug: () => this.#plug(slot, nic),
    }));
  }

  async #plug(slot: number, nic: IncarnationNic) {
    const { incarnation, wired = [] } = this.#ask;
    const { paths, client } = this.#run;
    const site = this.#site;
    if (!(await this.#isOpen(slot))) {
      await requireTap(site, nic);
      await keepRecords(paths.runFolder, { ...incarnation, nics: [nic] }, (one) => tapOf(site, one));
      await giveTap(paths, tapOf(site, nic), tapBackend(slot));
    }
    if (!wired.includes(nic.binding)) return 'opened' as const;
    await client.execute('device_add', nicDevice(nic, slot, nicPort(slot)));
    return 'plugged' as const;
  }

  /** No command of QMP lists what QEMU has for NICs without a NIC. */
  async #isOpen(slot: number): Promise<boolean> {
    const asked = this.#run.client.execute('human-monitor-command', { 'command-line': 'info network' }, qmpAnswerMs);
    return new RegExp(String.raw`^( \\ )?${tapBackend(slot)}: `, 'm').test(z.string().parse(await asked));
  }

  /** With it goes the tap's descriptor. */
  async close(slot: number): Promise<void> {
    await allowing(/not found/i, this.#run.client.execute('netdev_del', { id: tapBackend(slot) }));
  }
}
