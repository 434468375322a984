/**
 * What the operations of one worker process's simulated dataplane share: kernel, clock, random numbers, locks and
 * fences. Created with each boot of the process; the kernel stays. Called by the simulated-*.ts files of this folder.
 * Upholds G7 as the real dataplane does: no operation after its effect has ended, none with a fence below the highest
 * one seen, no two changes of one object at the same time. When the process is killed, it is random whether a pending
 * change happens.
 */
import { waitOutside, type Call } from '@photoncloud/actors/dataplane/contract/call-contract';
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
  /** Read at every call, because the rates change when the run heals. */
  readonly rates: () => FaultRates;
  /** Counts faults of calls, such as `wireTap kernel_busy`, for the summary of the runs. */
  readonly count: (what: string) => void;
  readonly allowedRoots: readonly string[];
  /** The host takes shared volumes. */
  readonly storage: boolean;
  readonly memoryMib: number;
  /** Another host's kernel; undefined while its node is down. */
  readonly peer: (host: string) => SimulatedKernel | undefined;
  /** Whether another host's kernel answers this one's. */
  readonly echoes: (host: string) => boolean;
}

interface PendingOperation {
  readonly fault: FaultDraw;
  readonly apply: () => unknown;
}

type FencedKind = 'segment' | 'gateway' | 'tap' | 'incarnation' | 'copy' | 'replica' | 'export' | 'snapshot';

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

  /**
   * Performs an operation with its lock held and its fence checked.
   * @param half applies the part that a half-applied operation leaves; without it such an operation leaves nothing
   */
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
    const fenced = async (): Promise<Result> => {
      call.signal.throwIfAborted();
      this.raise(kind, owner, call.fence);
      return this.perform(method, work, half);
    };
    return this.locks.hold(lock, fenced, (turn) => waitOutside(call, turn));
  }

  /** Performs an operation with the outcome that is drawn for it. */
  async perform<Result>(method: string, work: () => Result | Promise<Result>, half?: () => unknown): Promise<Result> {
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

  /** The process was killed; a request to the kernel that was under way may still be carried out. */
  kill(): void {
    if (this.ended) return;
    this.ended = true;
    for (const { fault, apply } of this.pending) {
      const happens = this.options.random.fraction() < 0.5;
      if (!happens || fault.applied === 'none') continue;
      this.options.count('applied after the kill');
      try {
        const result: unknown = apply();
        if (result instanceof Promise) result.catch(() => this.options.count('failed after the kill'));
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
        // The real watch polls about every half second.
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
    // Versions are compared within one boot of the process only, because the file of floors does not hold them.
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
  new PhotonError('ownership_lost', code, `${key}: ${shown} is below the highest one seen; nothing was changed.`);
