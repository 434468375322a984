/**
 * The seed disk of a run: what the guest is told of itself at its first boot, in the form of cloud-init's data source
 * NoCloud: a read-only disk with the label CIDATA and the files `meta-data`, `user-data` and `network-config`. It takes
 * no network, so no other guest can answer in the host's place.
 *
 * The file is below the run's own folder in /run, which is memory: user data reaches no disk. It is readable by root
 * alone; QEMU has opened it before it changes its user. It goes with the run's folder.
 * Called by qemu-start.ts. The files are JSON, which every reader of YAML takes: no text of a tenant needs quoting.
 */
import { open } from 'node:fs/promises';
import type { IncarnationNic, IncarnationSpec, SeedSpec } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { fileError } from '../kernel-errors.ts';
import { fileInIso, isoImage } from './iso-image.ts';

/** The label by which cloud-init finds the disk. */
export const seedLabel = 'CIDATA';
/** The serial that the guest sees: those of volumes have 20 characters. */
export const seedSerial = 'seed';

const mostUserBytes = 65_536;

const bad = (field: string, why: string): PhotonError =>
  new PhotonError('defeat', 'spec_invalid', `seed.${field} ${why}.`);

/** The values themselves are never part of a message. @throws defeat `spec_invalid` */
export function checkSeed(seed: SeedSpec): void {
  const { instanceId, hostname, sshKeys } = seed;
  if (!/^[a-zA-Z0-9-]{1,64}$/.test(instanceId)) throw bad('instanceId', 'must be 1 to 64 letters, digits and hyphens');
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(hostname)) throw bad('hostname', 'must be a host name');
  const isKey = (key: string): boolean => /^[\x20-\x7e]{1,4096}$/.test(key);
  if (sshKeys.length > 16 || !sshKeys.every(isKey))
    throw bad('sshKeys', 'must be at most 16 lines of printable characters');
}

const nicName = ({ port }: IncarnationNic): string => port.slice(port.lastIndexOf('.') + 1);

/** Network configuration of version 2: each NIC by its MAC, whatever name its driver gives it. */
const networkConfig = (nics: readonly IncarnationNic[]): object => ({
  version: 2,
  ethernets: Object.fromEntries(
    nics.map((nic) => [nicName(nic), { match: { macaddress: nic.mac }, dhcp4: true, mtu: nic.mtu }]),
  ),
});

const text = (value: object): Buffer => Buffer.from(`${JSON.stringify(value, null, 1)}\n`);

/**
 * @param userData as the tenant gave it, or null
 * @throws defeat `spec_invalid`
 */
export function seedImage({ nics }: IncarnationSpec, seed: SeedSpec, userData: string | null): Buffer {
  checkSeed(seed);
  const bytes = Buffer.from(userData ?? '');
  if (bytes.length > mostUserBytes) throw bad('userData', `has more than ${mostUserBytes} bytes`);
  const { instanceId, hostname, sshKeys, network } = seed;
  const meta = { 'instance-id': instanceId, 'local-hostname': hostname, 'public-keys': sshKeys };
  return isoImage(seedLabel, [
    { name: 'meta-data', bytes: text(meta) },
    { name: 'user-data', bytes },
    ...(network ? [{ name: 'network-config', bytes: text(networkConfig(nics)) }] : []),
  ]);
}

/** What the tenant gave, as it is in an image; null without any. */
export function givenText(image: Buffer): string | null {
  const given = fileInIso(image, 'user-data')?.toString() ?? '';
  return given === '' ? null : given;
}

/** Writes it anew: a start that was interrupted may have left a part. */
export async function writeSeed(path: string, image: Buffer): Promise<void> {
  try {
    const file = await open(path, 'w', 0o600);
    try {
      await file.truncate(0);
      await file.chmod(0o600);
      await file.write(image);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError('writing a seed disk', error);
  }
}
