/**
 * Who uses volumes: K21 and K29 of docs/promises.md, and for the settled cloud that a run has the disks that its VM
 * says. Judged by what an observer sees QEMU processes have open, and by the records of volumes. Pure. Called by
 * simulation/cloud/cloud-scenario.ts and settled-cloud.ts.
 */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { GivenUp } from './given-up-runs.ts';
import type { KernelFact, Violation } from './kernel-facts.ts';
import { recordsIn } from './network-promises.ts';
import type { StoreFact } from './store-facts.ts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

interface Running {
  readonly vm: string;
  readonly runEpoch: number | undefined;
  volumes: readonly string[];
}

/**
 * K21: at every instant a volume is in use by one running VM at most, on all hosts together. A run that was cut from a
 * volume does not use it, whether it goes on or not.
 */
export function checkVolumeUsers(seen: readonly KernelFact[]): Violation[] {
  const running = new Map<string, Running>();
  /** Volume -> the runs that can use it, where it is used over the network. */
  const served = new Map<string, readonly number[]>();
  const violations: Violation[] = [];
  const isCut = (volume: string, { runEpoch }: Running): boolean =>
    runEpoch !== undefined && served.get(volume)?.includes(runEpoch) === false;
  const use = (process: string, user: Running, volumes: readonly string[], atMs: number): void => {
    const before = user.volumes;
    user.volumes = volumes.filter((volume) => !isCut(volume, user));
    for (const volume of user.volumes.filter((one) => !before.includes(one)))
      for (const [other, { vm, volumes: of }] of running) {
        if (other === process || !of.includes(volume)) continue;
        const what = `${volume} is written by ${user.vm} as ${process} while ${vm} (${other}) still runs`;
        violations.push({ checker: 'K21', atMs, what });
      }
  };
  for (const fact of seen) {
    if (fact.fact === 'volume.served') {
      served.set(fact.volume, fact.runs);
      for (const user of running.values()) user.volumes = user.volumes.filter((volume) => !isCut(volume, user));
    }
    if (fact.fact === 'incarnation.rests') running.delete(`${fact.host}:${fact.pid}`);
    if (fact.fact === 'incarnation.runs') {
      const user = { vm: fact.vm, runEpoch: fact.runEpoch, volumes: [] };
      running.set(`${fact.host}:${fact.pid}`, user);
      use(`${fact.host}:${fact.pid}`, user, fact.volumes ?? [], fact.atMs);
    }
    if (fact.fact !== 'incarnation.disks') continue;
    const user = running.get(`${fact.host}:${fact.pid}`);
    const volumes = fact.volumes.map(({ volume }) => volume);
    if (user !== undefined) use(`${fact.host}:${fact.pid}`, user, volumes, fact.atMs);
  }
  return violations;
}

type Disks = Extract<KernelFact, { fact: 'incarnation.disks' }> & { readonly sinceMs: number };

/**
 * K29: what a QEMU process has open, its VM holds, as the volume says: so a volume is free, or another VM's, only after
 * QEMU has closed it. A run that was given up on a silent host, or has moved away, is cut from its volumes instead
 * (K21).
 */
export function checkOpenDisks(
  seen: readonly KernelFact[],
  facts: readonly StoreFact[],
  givenUp: GivenUp,
): Violation[] {
  const open = new Map<string, Disks>();
  /** Uid of a volume -> its holder. */
  const holders = new Map<string, unknown>();
  /** Volume -> the runs that can use it, where it is used over the network. */
  const served = new Map<string, readonly number[]>();
  const violations: Violation[] = [];
  const check = (disks: Disks, uids: readonly string[], atMs: number): void => {
    const { vm, host, pid } = disks;
    for (const { volume, uid } of disks.volumes) {
      const holder = holders.get(uid) ?? null;
      const isCut = served.get(volume)?.includes(disks.runEpoch) === false;
      if (!uids.includes(uid) || holder === vm || isCut || givenUp.hasRun(vm, disks, atMs)) continue;
      const who = holder === null ? 'nobody' : String(holder);
      const what = `${volume} (${uid}) is open in ${host}:${pid} of ${vm}, and ${who} holds it`;
      violations.push({ checker: 'K29', atMs, what });
    }
  };
  const takeKernel = (fact: Omit<Disks, 'sinceMs'>): void => {
    const process = `${fact.host}:${fact.pid}`;
    const before = open.get(process);
    const had = before?.volumes.map(({ uid }) => uid) ?? [];
    const fresh = fact.volumes.map(({ uid }) => uid).filter((uid) => !had.includes(uid));
    const disks = { ...fact, sinceMs: before?.sinceMs ?? fact.atMs };
    open.set(process, disks);
    check(disks, fresh, fact.atMs);
  };
  let at = 0;
  const takeKernelUntil = (atMs: number): void => {
    for (let fact = seen[at]; fact !== undefined && fact.atMs <= atMs; fact = seen[++at])
      if (fact.fact === 'volume.served') served.set(fact.volume, fact.runs);
      else if (fact.fact === 'incarnation.disks') takeKernel(fact);
  };
  for (const one of recordsIn(facts)) {
    // Only a store that keeps what it has acknowledged can be judged.
    if (one === 'rolled back') return violations;
    if (!one.actor.startsWith('volume/')) continue;
    takeKernelUntil(one.atMs);
    const uid = String(one.context['uid']);
    if (one.isLive) holders.set(uid, one.context['holder']);
    else holders.delete(uid);
    for (const disks of open.values()) check(disks, [uid], one.atMs);
  }
  takeKernelUntil(Infinity);
  return violations;
}

/** What a QEMU process has open. */
export interface OpenDisk {
  readonly volume: string;
  readonly uid: string;
  /** Its guest was asked to release it. */
  readonly leaving: boolean;
}

type Disk = { readonly volume: string };
const slots = 8;

/**
 * Of a settled VM that runs: its run has open what the VM says, besides what a change under way says; and the run is to
 * have what is declared, and the disk that it boots from.
 */
export function wrongDisks(
  { id, context }: StoredActor,
  open: readonly OpenDisk[],
  live: ReadonlyMap<string, StoredActor>,
): readonly string[] {
  const { scope } = partsOf(id as ActorId);
  const { disks, conditions, proof, spec, runSpec } = fields(context);
  const plugs = fields(fields(context)['plugs']) as Readonly<Record<string, { phase: string; error: unknown }>>;
  const idsOf = (of: unknown): string[] =>
    ((fields(of)['disks'] ?? []) as readonly Disk[]).map(({ volume }) => `volume/${scope}/${volume}`);
  const [wanted, had] = [idsOf(spec), idsOf(runSpec)];
  const boots = fields(runSpec)['boot'] === null ? had.slice(0, 1) : [];
  const find = (volume: string): OpenDisk | undefined =>
    open.find(({ uid }) => uid === fields(fields(disks)[volume])['volumeUid']);
  const problems = open
    .filter(({ volume }) => !had.includes(volume))
    .map(({ volume }) => `has ${volume} open, which it is not to have`);
  for (const volume of had) {
    const { phase, error } = plugs[volume] ?? { phase: 'had', error: null };
    const disk = find(volume);
    if (phase === 'had' && (disk === undefined || disk.leaving)) problems.push(`is to have ${volume}, and has not`);
    if (
      phase === 'had' &&
      !wanted.includes(volume) &&
      !boots.includes(volume) &&
      fields(proof)['diskSlots'] !== undefined
    )
      problems.push(`has ${volume}, which is not declared`);
    if (phase === 'removing' && disk === undefined)
      problems.push(`waits for its guest to release ${volume}, and it has`);
    if (phase === 'plugging' && error === null && disk?.leaving !== true) problems.push(`is still plugging ${volume}`);
    if (phase !== 'had' && phase !== 'plugging' && phase !== 'removing') {
      if (disk !== undefined) problems.push(`has ${volume} open before it was attached`);
      if (error === null || isFree(live.get(volume), context)) problems.push(`is still ${phase} ${volume}`);
    }
  }
  if (fields(proof)['diskSlots'] !== undefined && had.length < slots)
    for (const volume of wanted.filter((one) => !had.includes(one))) problems.push(`does not take up ${volume}`);
  const attached = ((conditions ?? []) as readonly { type: string; status: string }[]).find(
    ({ type }) => type === 'DisksAttached',
  );
  if (attached?.status === 'True' && Object.keys(plugs).length > 0)
    problems.push('says that its disks are attached, and changes them');
  return problems.map((problem) => `${id} ${problem}`);
}

/** Nothing keeps the VM from having it: it exists, nobody holds it, and its bytes are nowhere else. */
function isFree(volume: StoredActor | undefined, context: unknown): boolean {
  const { holder, host, spec, failure } = fields(volume?.context);
  const isHere = host === null || fields(host)['name'] === fields(fields(context)['host'])['name'];
  return (
    volume?.state === 'available' &&
    holder === null &&
    failure === null &&
    (isHere || fields(spec)['class'] === 'shared')
  );
}
