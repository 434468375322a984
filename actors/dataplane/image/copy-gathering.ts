/**
 * Gathers the bytes of images that come over a network: fetches them from addresses, or takes them from clients. An
 * effect starts a gathering or joins the one that runs, and leaves it with a report of progress; a gathering that no
 * effect has joined for a while ends, and the next one goes on where it has ended. Called by storage-operations.ts.
 * Promise: after a refusal nothing of the image is left, after a fault what has come.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import type { CopyGatherSpec, CopyProof, OwnerToken } from '@photoncloud/machines/values/wiring';
import { waitOutside, type Call } from '../contract/call-contract.ts';
import type { Gathered, SourceLimits } from '../contract/storage-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { requireDescriptors } from '../descriptor-reserve.ts';
import { checkDigest, checkOwner } from '../wiring-checks.ts';
import { Intake, removeIntake } from './copy-intake.ts';
import { storeIntake } from './copy-store.ts';
import { askSource, defaultSourceLimits, sourceFault, type SourceAnswer } from './source-request.ts';

const pollMs = 100;
const reportMs = 2_000;
/** An effect answers after this time even without news. */
const quietMs = 60_000;
/** So long goes a gathering on without an effect. */
const unattendedMs = 30_000;
/** Fetches that run at once on a host, and of one tenant. */
const fetchesAtOnce = 16;
const tenantFetchesAtOnce = 4;

interface Gathering {
  readonly owner: OwnerToken;
  readonly intake: Intake;
  readonly stop: AbortController;
  /** Of the fetch that runs; resolves when it has ended, however. */
  fetching: Promise<void> | undefined;
  /** Why it has ended. */
  error: Error | undefined;
  reported: { readonly receivedBytes: number; readonly atMs: number } | undefined;
  attended: number;
  leftAtMs: number;
}

const tenantOf = ({ actor }: OwnerToken): string => actor.split('/')[1] ?? '';
const gathered = ({ intake }: Gathering): Gathered => ({
  receivedBytes: intake.receivedBytes,
  totalBytes: intake.totalBytes,
  isWhole: intake.isWhole && intake.isAccepted,
});

export class Gatherings {
  readonly #site: DataplaneSite;
  readonly #limits: SourceLimits;
  /** By the actor that owns the copy. */
  readonly #all = new Map<string, Gathering>();
  #watch: NodeJS.Timeout | undefined;

  constructor(site: DataplaneSite) {
    this.#site = site;
    this.#limits = { ...defaultSourceLimits, ...site.options.sourceLimits };
  }

  async gather(spec: CopyGatherSpec, call: Call): Promise<Gathered> {
    checkOwner(spec.owner);
    checkDigest('sha256', spec.sha256);
    const gathering = await this.#join(spec);
    try {
      if ('url' in spec.source) await this.#fetchInTurn(gathering, spec, spec.source.url, call);
      await waitOutside(call, () => untilNews(gathering, call.signal));
      if (gathering.error !== undefined) throw gathering.error;
      gathering.reported = { receivedBytes: gathering.intake.receivedBytes, atMs: performance.now() };
      return gathered(gathering);
    } catch (error) {
      await this.#end(gathering);
      if (isRefusal(error)) await removeIntake(this.#site, spec.owner);
      throw error;
    } finally {
      gathering.attended -= 1;
      gathering.leftAtMs = performance.now();
    }
  }

  /**
   * Takes bytes of a client. Bytes that do not begin where the last ones ended are not taken: the answer says where to
   * go on. @throws fault `upload_not_ready`; what `gather` throws
   */
  async put(actor: string, offset: number, bytes: Buffer): Promise<Gathered> {
    const gathering = this.#waiting(actor);
    return this.#site.locks.hold(`incoming ${actor}`, async () => {
      if (gathering.error !== undefined || this.#all.get(actor) !== gathering) throw notReady(actor);
      if (offset !== gathering.intake.receivedBytes || bytes.length === 0) return gathered(gathering);
      try {
        await gathering.intake.append(bytes);
      } catch (error) {
        // A full disk may pass; then the effect goes on waiting, and the client comes back.
        if (isRefusal(error)) gathering.error = error;
        throw error;
      }
      return gathered(gathering);
    });
  }

  async store(spec: CopyGatherSpec, call: Call): Promise<CopyProof> {
    checkOwner(spec.owner);
    checkDigest('sha256', spec.sha256);
    const running = this.#all.get(spec.owner.actor);
    if (running !== undefined) await this.#end(running);
    const intake = await Intake.open(this.#site, spec, this.#limits.maxBytes);
    try {
      return await storeIntake(this.#site, spec, intake, call.signal);
    } catch (error) {
      if (isRefusal(error)) await removeIntake(this.#site, spec.owner);
      throw error;
    } finally {
      await intake.close();
    }
  }

  async drop(owner: OwnerToken): Promise<void> {
    const running = this.#all.get(owner.actor);
    if (running !== undefined) await this.#end(running);
    await removeIntake(this.#site, owner);
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    await Promise.all([...this.#all.values()].map((gathering) => this.#end(gathering)));
  }

  #waiting(actor: string): Gathering {
    const gathering = this.#all.get(actor);
    if (gathering === undefined || gathering.fetching !== undefined) throw notReady(actor);
    return gathering;
  }

  async #join(spec: CopyGatherSpec): Promise<Gathering> {
    const { owner } = spec;
    const running = this.#all.get(owner.actor);
    if (running !== undefined && running.owner.uid !== owner.uid) await this.#end(running);
    const present = this.#all.get(owner.actor);
    if (present !== undefined) {
      present.attended += 1;
      return present;
    }
    await requireDescriptors(`The import of ${owner.actor}`);
    const intake = await Intake.open(this.#site, spec, this.#limits.maxBytes);
    const made: Gathering = {
      owner,
      intake,
      stop: new AbortController(),
      fetching: undefined,
      error: undefined,
      reported: undefined,
      attended: 1,
      leftAtMs: 0,
    };
    this.#all.set(owner.actor, made);
    this.#watch ??= setInterval(() => this.#endUnattended(), unattendedMs / 2).unref();
    return made;
  }

  #endUnattended(): void {
    const nowMs = performance.now();
    for (const one of this.#all.values()) {
      if (one.attended > 0 || nowMs - one.leftAtMs < unattendedMs) continue;
      this.#end(one).catch((error: unknown) =>
        this.#site.options.log.warn({ why: describeCause(error) }, 'a gathering could not be ended'),
      );
    }
  }

  async #end(gathering: Gathering): Promise<void> {
    const { actor } = gathering.owner;
    if (this.#all.get(actor) === gathering) this.#all.delete(actor);
    gathering.error ??= new PhotonError('fault', 'gathering_ended', 'The gathering has ended; ask again.');
    gathering.stop.abort();
    await gathering.fetching;
    await this.#site.locks.hold(`incoming ${actor}`, () => gathering.intake.close());
  }

  /** Starts the fetch when there is room for it. */
  async #fetchInTurn(gathering: Gathering, spec: CopyGatherSpec, url: string, call: Call): Promise<void> {
    const startedMs = performance.now();
    const isFree = (): boolean => {
      const running = [...this.#all.values()].filter(({ fetching }) => fetching !== undefined);
      const same = running.filter(({ owner }) => tenantOf(owner) === tenantOf(spec.owner));
      return running.length < fetchesAtOnce && same.length < tenantFetchesAtOnce;
    };
    while (gathering.fetching === undefined && !gathering.intake.isWhole) {
      call.signal.throwIfAborted();
      if (isFree()) gathering.fetching = this.#fetch(gathering, url);
      else if (performance.now() - startedMs > quietMs) return;
      else await waitOutside(call, () => pause(pollMs));
    }
  }

  async #fetch(gathering: Gathering, url: string): Promise<void> {
    const { intake, stop } = gathering;
    const { allowedSources: allowed, nodeAddresses } = this.#site.options;
    const rules = { allowed, nodes: nodeAddresses() };
    const ask = { url, rules, limits: this.#limits, signal: stop.signal };
    try {
      const answer = await askSource({ ...ask, offset: intake.receivedBytes, validator: intake.validator });
      await this.#receive(answer, gathering);
    } catch (error) {
      // Begun anew at the next attempt.
      if (error instanceof PhotonError && error.record.code === 'source_range')
        await intake.note({ totalBytes: null, validator: null });
      gathering.error ??= error as Error;
    }
  }

  async #receive({ stream, offset, totalBytes, validator }: SourceAnswer, { intake, stop }: Gathering): Promise<void> {
    const pace = new Pace(this.#limits, stream);
    const end = (): void => void stream.destroy();
    stop.signal.addEventListener('abort', end, { once: true });
    try {
      if (offset === 0) await intake.restart();
      await intake.note({ totalBytes, validator });
      for await (const chunk of stream) {
        pace.count((chunk as Buffer).length);
        await intake.append(chunk as Buffer);
      }
      // Only now is it known that there is no more.
      if (totalBytes === null) await intake.note({ totalBytes: intake.receivedBytes, validator });
      if (!intake.isWhole) throw new Error(`it ended after ${intake.receivedBytes} of ${totalBytes} bytes`);
      await intake.append(Buffer.alloc(0));
    } catch (error) {
      stop.signal.throwIfAborted();
      if (pace.isTooSlow)
        throw sourceFault('source_slow', `the server sends less than ${this.#limits.minBytesPerS} bytes/s`);
      if (error instanceof PhotonError) throw error;
      throw sourceFault('source_broke', `the connection to the server broke: ${describeCause(error)}`, error);
    } finally {
      stop.signal.removeEventListener('abort', end);
      pace.end();
      stream.destroy();
    }
  }
}

/** Cuts a stream that brings too little in a window of time. */
class Pace {
  readonly #timer: NodeJS.Timeout;
  #inWindow = 0;
  isTooSlow = false;

  constructor({ windowMs, minBytesPerS }: SourceLimits, stream: { destroy(): void }) {
    this.#timer = setInterval(() => {
      this.isTooSlow = this.#inWindow < Math.max(1, (minBytesPerS * windowMs) / 1_000);
      this.#inWindow = 0;
      if (this.isTooSlow) stream.destroy();
    }, windowMs);
  }

  count(bytes: number): void {
    this.#inWindow += bytes;
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

/** Waits until there is something to report, or for a minute. */
async function untilNews(gathering: Gathering, signal: AbortSignal): Promise<void> {
  const startedMs = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const { intake, reported, error, fetching } = gathering;
    const nowMs = performance.now();
    const isFirst = reported === undefined && (fetching === undefined || intake.isAccepted);
    const hasMore =
      reported !== undefined && intake.receivedBytes !== reported.receivedBytes && nowMs - reported.atMs >= reportMs;
    const isOver = error !== undefined || (intake.isWhole && intake.isAccepted);
    if (isOver || isFirst || hasMore || nowMs - startedMs > quietMs) return;
    await pause(pollMs);
  }
}

const isRefusal = (error: unknown): error is PhotonError =>
  error instanceof PhotonError && error.record.group === 'defeat';

const notReady = (actor: string): PhotonError =>
  new PhotonError('fault', 'upload_not_ready', `The host of ${actor} does not wait for bytes now; try again.`);
