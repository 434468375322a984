/**
 * A cluster in which VMs move between two workers under faults: two controllers, w1 and w2 with the guests, w3 with
 * the bytes of shared volumes and the way to the outside. `near` has its page and SQLite on a local volume, `far` on a
 * shared one; visits are written to both from outside of the cloud. Used by moving-faults.test.ts and moving-faults-
 * main.ts; the faults are in moving-faults.ts, the judge is moving-judge.ts.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ActorObject } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { publicPlace } from '../demo/tenant-view.ts';
import { readGuest, type GuestPlace } from '../demo/guest-page.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { VisitWriter } from '../six-node/visit-writer.ts';
import { asParams } from './api-session.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { publicNetwork } from './outside-guest.ts';
import type { PlannedNode } from './photon-commands.ts';
import { insideFolder } from './topology-record.ts';

const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'c2', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
  { name: 'w3', role: 'worker', storage: true, guests: false },
];
export const movers = ['w1', 'w2'] as const;
export const storageHost = 'w3';
export const otherOf = (host: string): string => (host === 'w1' ? 'w2' : 'w1');

export type SubjectName = 'near' | 'far';

export interface Subject {
  readonly name: SubjectName;
  readonly vm: string;
  readonly volume: string;
  readonly migration: string;
  /** From outside of the cloud. */
  readonly place: GuestPlace;
  readonly writer: VisitWriter;
}

export interface MoveSummary {
  readonly startedAt: number;
  readonly result: 'moved' | 'rolled-back' | 'refused';
  readonly pauseMs: number | null;
  readonly gapMs: number | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
}

export interface VmStatus {
  readonly host: string | null;
  readonly runEpoch: number;
  readonly lastMigration: MoveSummary | null;
}

type Fields = Readonly<Record<string, unknown>>;

export const statusOf = (actor: ActorObject | undefined): VmStatus => actor?.status as unknown as VmStatus;

export class MovingScene {
  readonly cluster: PhotonCluster;
  readonly acme: CrashTenant;
  readonly subjects: ReadonlyMap<SubjectName, Subject>;

  private constructor(cluster: PhotonCluster, acme: CrashTenant, subjects: readonly Subject[]) {
    this.cluster = cluster;
    this.acme = acme;
    this.subjects = new Map(subjects.map((one) => [one.name, one]));
  }

  /** @param names of the VMs that are wanted @throws Error when the cluster or a guest does not come up */
  static async open(names: readonly SubjectName[], say: (line: string) => void): Promise<MovingScene> {
    const guest = await buildGuestImage();
    const cluster = await launchCluster({
      stem: 'movef',
      nodes,
      images: { '/run/guest': guest.folder },
      uplinks: ['w3'],
    });
    let acme: CrashTenant | undefined;
    try {
      say(`cluster ${cluster.topology.prefix}`);
      acme = await CrashTenant.open(cluster);
      // A disk of its own for the volumes of each, small enough to be filled.
      for (const node of movers) {
        const folder = `${insideFolder}/host/volumes`;
        const mount = `mkdir -p ${folder} && mount -t tmpfs -o size=256m,mode=$(stat -c %a ${folder}) tmpfs ${folder}`;
        await cluster.topology.exec(node, ['sh', '-c', mount]);
      }
      await acme.declareBasics(guest.commandLine);
      for (const node of movers) await acme.directPort(`stays-${node}`, node);
      await acme.client.call('external-network.create', {
        scope: 'system',
        name: 'public',
        idempotencyKey: randomUUID(),
        params: asParams('external-network.create', { ...publicNetwork, hosts: ['w3'] }),
      });
      await acme.ask('router.create', 'edge', { external: { network: 'public' } });
      await acme.ask('security-group.create', 'web', { rules: openRules });
      const subjects: Subject[] = [];
      for (const name of names) subjects.push(await declare(cluster, acme, name));
      for (const { place } of subjects) await readGuest(place, 180_000);
      return new MovingScene(cluster, acme, subjects);
    } catch (error) {
      acme?.close();
      await cluster.topology.stop(0);
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const { writer } of this.subjects.values()) await writer.stop();
    this.acme.close();
    await this.cluster.topology.stop(0);
  }

  subject(name: SubjectName): Subject {
    const found = this.subjects.get(name);
    if (found === undefined) throw new Error(`there is no VM ${name} in this scene`);
    return found;
  }

  async vm({ vm }: Subject): Promise<VmStatus> {
    return statusOf(await this.acme.find(vm));
  }

  /** Of its only NIC. */
  async macOf({ vm }: Subject): Promise<string> {
    const ports = ((await this.acme.find(vm))?.status as Fields | undefined)?.['ports'];
    return Object.values((ports ?? {}) as Readonly<Record<string, { mac: string }>>)[0]?.mac ?? 'no NIC';
  }

  /** The controller whose shard has the actor, as the store says. */
  async ownerOf(id: string): Promise<string> {
    const { topology } = this.cluster;
    const password = readFileSync(join(topology.node('c1').folder, 'store.password'), 'utf8').trim();
    const login = ['--user', 'c1', '--pass', password, '--no-auth-warning'];
    const argv = ['redis-cli', '-h', topology.node('s1').address, ...login];
    const grant = await topology.exec('s1', [...argv, 'hget', `ph:${topology.prefix}:map`, shardOf(actorId(id))]);
    return parseGrant(grant.trim()).node;
  }

  /** As an operator; asked again while the store or a controller is away. */
  async verb(verb: 'actor.pause' | 'actor.resume', id: string): Promise<void> {
    await this.acme.client.call(verb, { id, idempotencyKey: randomUUID(), reason: 'a step is held by the test' });
  }
}

/** The page is open, and everything may go out. */
export const openRules = [
  { direction: 'ingress', protocol: 'tcp', ports: { from: 80, to: 80 } },
  { direction: 'egress' },
];

export const vmParamsOf = (acme: CrashTenant, name: SubjectName): object => ({
  ...acme.vmParams(),
  nics: [{ network: 'front', securityGroups: ['web'] }],
  disks: [{ volume: name }],
  restart: 'on-failure',
});

async function declare(cluster: PhotonCluster, acme: CrashTenant, name: SubjectName): Promise<Subject> {
  await acme.ask('volume.create', name, { sizeMib: 64, ...(name === 'far' ? { class: 'shared' } : {}) });
  if (name === 'far') await acme.reachState(`volume/${tenant}/far`, /^available$/);
  await acme.ask('vm.create', name, { ...vmParamsOf(acme, name) });
  await acme.reachState(`vm/${tenant}/${name}`, /^running$/, 120_000);
  await acme.ask('external-address.create', name, { network: 'public', target: { port: `${name}.eth0` } });
  await acme.reachState(`external-address/${tenant}/${name}`, /^attached$/);
  const place = await publicPlace(cluster, `external-address/${tenant}/${name}`);
  return {
    name,
    vm: `vm/${tenant}/${name}`,
    volume: `volume/${tenant}/${name}`,
    migration: `migration/${tenant}/${name}`,
    place,
    writer: new VisitWriter(place),
  };
}

/** The error's code; anything else is thrown. */
export function codeOf(error: unknown): string {
  if (error instanceof PhotonError) return error.record.code;
  throw error;
}
