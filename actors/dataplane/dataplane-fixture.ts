/**
 * What the dataplane's own tests share: a fresh network and mount namespace around the whole test process (so that every
 * kernel object goes with it, also after a crash), a dataplane in it, and specs. Not part of the product.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Fence } from '@photoncloud/runtime/contract/effect';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { OwnerToken, SegmentSpec, TapSpec } from '@photoncloud/machines/values/wiring';
import type { Call } from './contract/call-contract.ts';
import type { DataplaneOptions } from './contract/dataplane-contract.ts';

const insideMark = 'PHOTON_TEST_INSIDE';

/**
 * Runs the calling test file again inside namespaces of its own and exits with its code; returns only inside.
 * Without root it says so and exits 0 with a skip line.
 */
export function enterOwnNamespaces(file: string): void {
  if (process.env[insideMark] === String(process.ppid) || process.env[insideMark] === 'yes') return;
  if (process.getuid?.() !== 0) {
    console.log(`SKIP ${path.basename(file)}: needs root for network namespaces`);
    process.exit(0);
  }
  const script = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"';
  const run = spawnSync('unshare', ['--net', '--mount', '--fork', '--pid', '--mount-proc', '--kill-child', 'sh', '-c', script, 'sh', process.execPath, file], {
    stdio: 'inherit', env: { ...process.env, [insideMark]: 'yes' },
  });
  process.exit(run.status ?? 1);
}

export function makeTestFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'photon-dataplane-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export const quietLog: Log = {
  debug: () => {}, info: () => {}, warn: () => {}, error: (fields, message) => console.error(message, fields), child: () => quietLog,
};

export function testOptions(folder: string, more: Partial<DataplaneOptions> = {}): DataplaneOptions {
  return {
    prefix: 'tst', cluster: 'test', host: 'w1', folder, allowedRoots: [], underlay: '127.0.0.1',
    qemu: { binary: 'qemu-system-x86_64' }, fetchBlob: async () => { throw new Error('no other host in this test'); }, log: quietLog, ...more,
  };
}

let version = 0;
/** A call with the next version; `fence` to pretend an older one. */
export function nextCall(fence: Partial<Fence> = {}, signal: AbortSignal = new AbortController().signal): Call {
  version += 1;
  return { fence: { era: 1, ownerEpoch: 1, version, ...fence }, signal };
}

export const ownerOf = (actor: string, runEpoch = 1, uid = '01TESTUID0000000000000000A'): OwnerToken => ({ actor, uid, runEpoch });

export function segmentSpec(more: Partial<SegmentSpec> = {}): SegmentSpec {
  return {
    owner: ownerOf('segment/acme/main@w1'), vpc: 'vpc/acme/main', vni: 7701,
    self: { name: 'w1', index: 1, underlay: '127.0.0.1', underlayMtu: 1500 }, peers: [], routes: [], generation: 1,
    networks: [{
      network: 'network/acme/front', uid: '01TESTNET', mtu: 1400,
      subnets: [{ name: 'a', cidr: '10.77.1.0/24', gateway: '10.77.1.1' }],
      dhcp: { leaseSeconds: 3600, dns: ['9.9.9.9'], domain: 'acme.internal', ntp: [] },
    }],
    ...more,
  };
}

export function tapSpec(index = 11, more: Partial<TapSpec> = {}): TapSpec {
  return {
    owner: ownerOf(`binding/acme/web-${index}.eth0@w1`), vpc: 'vpc/acme/main', network: 'network/acme/front',
    port: `port/acme/web-${index}.eth0`, mac: `02:00:00:00:77:${index.toString(16).padStart(2, '0')}`, address: `10.77.1.${index}`,
    prefixLength: 24, gateway: '10.77.1.1', mtu: 1400, hostname: `web-${index}`, ...more,
  };
}
