/**
 * What every operation of one worker process's simulated dataplane shares: its kernel, its clock, its dice, its locks
 * and fences. Made anew with each life of the process; the kernel below it stays. Called by the simulated-*.ts halves.
 * Upholds G7 as the real one does: not if the effect has ended, not below the floor, not beside another change of the
 * same object. When the process is killed, each change under way has happened or has not, as the dice say.
 */
import type { Call } from '@photoncloud/actors/dataplane/contract/call-contract';
import { ObjectLocks } from '@photoncloud/actors/dataplane/object-locks';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { Clock } from '@photoncloud/runtime/contract/clock';
import type { Fence } from '@photoncloud/runtime/contract/effect';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Random } from '@photoncloud/runtime/contract/random';
import { drawFault, type FaultDraw, type FaultRates } from './dataplane-faults.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';

export interface SiteOptions {
  readonly kernel: SimulatedKernel;
  /** The worker process's clock: it stands still with the process. */
  readonly clock: Clock;
  readonly random: Random;
  /** Read at every call: the run's phases change them. */
  readonly rates: () => FaultRates;
  /** Counts what became of each call, `wireTap failed` and the like, for the campaign's report. */
  readonly count: (what: string) => void;
  readonly allowedRoots: readonly string[];
  readonly memoryMib: number;
  /** Another host's kernel, when it can be reached just now. */
  readonly peer: (host: string) => SimulatedKernel | undefined;
}

interface PendingOperation {
  readonly fault: FaultDraw;
  readonly apply: () => unknown;
}

type FencedKind = 'segment' | 'tap' | 'incarnation' | 'copy' | 'replica';

export class SimulatedSite {
  readonly options: SiteOptions;
  readonly kernel: SimulatedKernel;
  readonly locks = new ObjectLocks();
  private readonly versions = new Map<string, number>();
  private readonly pending = new Set<PendingOperation>();
  private ended = false;

  constructor(options: SiteOptions) {
    this.options = options;
    this.kernel = options.kernel;
  }

  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.options.clock.after(delayMs, resolve));
  }

  /** An operation under its lock and fence. `half` is the part that a half-applied one leaves; nothing without it. */
  change<Result>(
    method: string,
    kind: FencedKind,
    lock: string,
    owner: OwnerToken,
    call: Call,
    work: () => Result | Promise<Result>,
    half?: () => unknown,
  ): Promise<Result> {
    call.signal.throwIfAborted();
    return this.locks.hold(lock, async () => {
      call.signal.throwIfAborted();
      this.raise(kind, owner, call.fence);
      return this.befall(method, work, half);
    });
  }

  /** One operation meets its fault. */
  async befall<Result>(method: string, work: () => Result | Promise<Result>, half?: () => unknown): Promise<Result> {
    const { random, rates, count } = this.options;
    const fault = drawFault(method, rates(), random);
    const operation: PendingOperation = { fault, apply: fault.applied === 'whole' ? work : (half ?? (() => {})) };
    this.pending.add(operation);
    await this.pause(fault.delayMs);
    this.pending.delete(operation);
    if (fault.error === null) return work();
    count(`${method} ${fault.applied === 'none' ? '' : `${fault.applied} `}${fault.error.record.code}`);
    if (fault.applied === 'whole') await work();
    if (fault.applied === 'half') await half?.();
    throw fault.error;
  }

  /** The process is gone. What it had asked the kernel for may still happen, or have happened. */
  kill(): void {
    if (this.ended) return;
    this.ended = true;
    for (const { fault, apply } of this.pending) {
      const happens = this.options.random.fraction() < 0.5;
      if (!happens || fault.applied === 'none') continue;
      this.options.count('applied in death');
      try {
        const result: unknown = apply();
        if (result instanceof Promise) result.catch(() => this.options.count('failed in death'));
      } catch (error) {
        if (!(error instanceof PhotonError)) throw error;
      }
    }
    this.pending.clear();
  }

  /** Resolves with what `look` finds, some time after the change that made it so. Rejects when the signal aborts. */
  watch<Found>(signal: AbortSignal, look: () => Found | null): Promise<Found> {
    const { clock, random } = this.options;
    return new Promise((resolve, reject) => {
      let planned = false;
      const stop = (): void => {
        forget();
        signal.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        stop();
        reject(signal.reason as Error);
      };
      const see = (): void => {
        if (planned || look() === null) return;
        planned = true;
        // A watch looks every half second or so.
        clock.after(20 + random.fraction() * 700, () => {
          planned = false;
          const found = look();
          if (found === null || signal.aborted) return;
          stop();
          resolve(found);
        });
      };
      const forget = this.kernel.onChange(see);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      else see();
    });
  }

  /** @throws ownership_lost `fence_older`, `run_epoch_older` */
  private raise(kind: FencedKind, owner: OwnerToken, fence: Fence): void {
    const key = `${kind} ${owner.actor} ${owner.uid}`;
    const floor = this.kernel.floors.get(key);
    // A version counts only within one life of the process: the floor file does not keep it.
    const version = this.versions.get(key) ?? 0;
    if (floor !== undefined) {
      const order = fence.era - floor.era || fence.ownerEpoch - floor.ownerEpoch || fence.version - version;
      if (order < 0) throw refusal('fence_older', key, `${fence.era}.${fence.ownerEpoch}.${fence.version}`);
      if (owner.runEpoch < floor.runEpoch) throw refusal('run_epoch_older', key, `run ${owner.runEpoch}`);
    }
    const { era, ownerEpoch } = fence;
    this.kernel.floors.set(key, { era, ownerEpoch, runEpoch: owner.runEpoch });
    this.versions.set(key, fence.version);
  }
}

const refusal = (code: string, key: string, shown: string): PhotonError =>
  new PhotonError('ownership_lost', code, `${key}: ${shown} is below what has been seen; nothing was touched.`);
