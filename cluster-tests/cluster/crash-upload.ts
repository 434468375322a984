/** An upload whose host is killed amid it, and then the controller. Called by crash-programs.test.ts. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { photonCli, type PhotonCluster } from './cluster-launch.ts';
import { tenant, type CrashTenant } from './crash-tenant.ts';
import { until } from './process-identity.ts';

/** Takes some seconds. */
const sizeBytes = 48 << 20;
const image = `image/${tenant}/sent`;

async function receivedBytes(acme: CrashTenant): Promise<number> {
  const status = (await acme.find(image))?.status as { progress: { receivedBytes: number } | null } | undefined;
  return status?.progress?.receivedBytes ?? 0;
}

/** @param restart kills the program with SIGKILL and starts it again */
export async function uploadThrough(
  cluster: PhotonCluster,
  acme: CrashTenant,
  restart: (node: string, role: 'worker' | 'controller') => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'photon-upload-'));
  const file = join(folder, 'disk.raw');
  writeFileSync(file, randomBytes(sizeBytes));
  try {
    const words = ['image', 'upload', file, '--name', 'sent', '--format', 'raw', '--host', 'w1'];
    const sending = photonCli(cluster.clientFile, ['-t', tenant, ...words]);
    const over = sending.then(() => assert.unreachable('it was over before its programs were killed'));
    const kills = async (): Promise<void> => {
      await until('a fifth is sent', async () => (await receivedBytes(acme)) > sizeBytes / 5);
      await restart('w1', 'worker');
      await until('half is sent', async () => (await receivedBytes(acme)) > sizeBytes / 2);
      await restart('c1', 'controller');
    };
    await Promise.race([kills(), over]);
    // The command compares the digest of what came with that of the file.
    assert.match(await sending, /sent uploaded/);
    await acme.ask('image.delete', 'sent');
    await acme.reachAbsence(image);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
