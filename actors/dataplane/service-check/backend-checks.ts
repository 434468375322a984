/**
 * Checks the backends of a service IP on this host until a verdict changes, as contract/service-contract.ts promises.
 * What is remembered between two calls (when a backend is due, and its results in a row) lasts as long as the process,
 * so that a call which ends early for one backend delays the checks of no other. Called by service-operations.ts.
 */
import { access } from 'node:fs/promises';
import {
  checkSpecSchema,
  maxBackends,
  type CheckedBackend,
  type CheckSpec,
} from '@photoncloud/machines/values/service-elements';
import type { Call } from '../contract/call-contract.ts';
import type { CheckAsk } from '../contract/service-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { segmentMissing } from '../segment/segment-errors.ts';
import { checkIdOf, isAddress, must, parsed } from '../wiring-checks.ts';
import type { ProbeResult } from './probe.ts';
import type { Prober } from './prober.ts';

/** A backend after one more result. */
export function judged(
  { address, healthy, streak, detail: before }: CheckedBackend,
  { passed, detail }: Pick<ProbeResult, 'passed' | 'detail'>,
  { rise, fall }: Pick<CheckSpec['check'], 'rise' | 'fall'>,
): CheckedBackend {
  if (healthy === passed) return { address, healthy, streak: 0, detail: before === '' ? detail : before };
  const turned = streak + 1 >= (passed ? rise : fall);
  return healthy === null || turned
    ? { address, healthy: passed, streak: 0, detail }
    : { address, healthy, streak: streak + 1, detail: before };
}

interface Remembered {
  readonly backend: CheckedBackend;
  /** Of performance.now(). */
  dueMs: number;
}

/** Backends that were not checked for this long are forgotten. */
const forgetAfterMs = 900_000;

/** @throws defeat `spec_invalid` */
function checkAsk({ spec, backends }: CheckAsk): void {
  parsed(checkSpecSchema, 'spec', spec);
  // It becomes a line of a request to a guest.
  must(/^\/[!-~]{0,199}$/.test(spec.check.path), 'spec.check.path', spec.check.path);
  checkIdOf('service-ip', 'spec.serviceIp', spec.serviceIp);
  checkIdOf('vpc', 'spec.vpc', spec.vpc);
  must(
    backends.length <= maxBackends && backends.every(({ address }) => isAddress(address)),
    'backends',
    backends.map(({ address }) => address),
  );
}

/** Of one dataplane: what it remembers. */
export class BackendChecks {
  readonly #site: DataplaneSite;
  readonly #remembered = new Map<string, Remembered>();
  readonly #flights: Flights = new Map();

  constructor(site: DataplaneSite) {
    this.#site = site;
  }

  /** @throws fault `segment_missing`, `prober_failed`; defeat `spec_invalid`; the signal's reason when aborted */
  async check(ask: CheckAsk, { signal }: Call): Promise<readonly CheckedBackend[]> {
    signal.throwIfAborted();
    checkAsk(ask);
    const { spec, backends, once } = ask;
    const namespace = this.#site.names.namespaceOf(spec.vpc);
    await access(`/run/netns/${namespace}`).catch(() => {
      throw segmentMissing(spec.vpc);
    });
    const prober = await this.#site.probers.of(namespace);
    const round = new CheckRound(spec, this.#known(spec, backends), prober, this.#flights, once);
    try {
      return await round.run(signal);
    } finally {
      this.#keep(spec, round);
    }
  }

  /** What is remembered of a backend, if it is about the same verdict. */
  #known(spec: CheckSpec, backends: readonly CheckedBackend[]): Remembered[] {
    const now = performance.now();
    const intervalMs = spec.check.intervalSeconds * 1_000;
    return backends.map((backend, index) => {
      const key = keyOf(spec, backend.address);
      const last = this.#remembered.get(key);
      if (backend.healthy === null) return { backend, dueMs: now };
      // Those that are not known begin within an interval, not all at once.
      const unknownMs = this.#flights.has(key) ? now : now + (intervalMs * index) / backends.length;
      if (last?.backend.healthy !== backend.healthy) return { backend, dueMs: unknownMs };
      const streak = Math.max(last.backend.streak, backend.streak);
      const dueMs = this.#flights.has(key) ? now : Math.min(last.dueMs, now + intervalMs);
      return { backend: { ...backend, streak }, dueMs };
    });
  }

  #keep(spec: CheckSpec, { remembered }: CheckRound): void {
    const oldest = performance.now() - forgetAfterMs;
    for (const [key, { dueMs }] of this.#remembered) if (dueMs < oldest) this.#remembered.delete(key);
    for (const [key, { beganMs }] of this.#flights) if (beganMs < oldest) this.#flights.delete(key);
    for (const one of remembered) this.#remembered.set(keyOf(spec, one.backend.address), one);
  }
}

const keyOf = ({ serviceIp }: CheckSpec, address: string): string => `${serviceIp} ${address}`;

/** A check under way. The call that began it may end first, for another backend; the next call takes its result. */
interface Flight {
  readonly ask: string;
  /** Of performance.now(). */
  readonly beganMs: number;
  readonly result: Promise<ProbeResult>;
}
type Flights = Map<string, Flight>;

/** One call. */
class CheckRound {
  readonly #spec: CheckSpec;
  readonly #prober: Prober;
  readonly #flights: Flights;
  readonly #once: boolean;
  readonly #first: readonly CheckedBackend[];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #answered = new Set<string>();
  #entries: readonly Remembered[];
  #ended = false;

  constructor(spec: CheckSpec, entries: readonly Remembered[], prober: Prober, flights: Flights, once: boolean) {
    this.#spec = spec;
    this.#entries = entries;
    this.#first = entries.map(({ backend }) => backend);
    this.#prober = prober;
    this.#flights = flights;
    this.#once = once;
  }

  get remembered(): readonly Remembered[] {
    return this.#entries;
  }

  get #backends(): readonly CheckedBackend[] {
    return this.#entries.map(({ backend }) => backend);
  }

  run(signal: AbortSignal): Promise<readonly CheckedBackend[]> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        if (this.#ended) return;
        this.#ended = true;
        for (const timer of this.#timers) clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        settle();
      };
      const abort = (): void => end(() => reject(signal.reason as Error));
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) return abort();
      for (const { backend, dueMs } of this.#entries)
        this.#plan(
          backend.address,
          this.#once ? 0 : dueMs - performance.now(),
          () => end(() => resolve(this.#backends)),
          (error) => end(() => reject(error as Error)),
        );
    });
  }

  #plan(address: string, delayMs: number, done: () => void, fail: (error: unknown) => void): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        void this.#checkOne(address, done, fail);
      },
      Math.max(0, delayMs),
    );
    this.#timers.add(timer);
  }

  async #checkOne(address: string, done: () => void, fail: (error: unknown) => void): Promise<void> {
    const key = keyOf(this.#spec, address);
    try {
      const flight = this.#flightOf(key, address);
      const result = await flight.result;
      if (this.#ended) return;
      this.#flights.delete(key);
      const dueMs = flight.beganMs + this.#spec.check.intervalSeconds * 1_000;
      this.#take(address, result, dueMs);
      if (this.#isDone()) done();
      else this.#plan(address, dueMs - performance.now(), done, fail);
    } catch (error) {
      this.#flights.delete(key);
      fail(error);
    }
  }

  /** One that another call has begun not long ago, or one that begins now. */
  #flightOf(key: string, address: string): Flight {
    const { protocol, port, path, timeoutSeconds, intervalSeconds } = this.#spec.check;
    const beganMs = performance.now();
    const oldestMs = beganMs - (intervalSeconds + timeoutSeconds) * 1_000;
    const request = { protocol, address, port, path, timeoutMs: timeoutSeconds * 1_000 };
    const ask = JSON.stringify(request);
    const known = this.#flights.get(key);
    if (!this.#once && known?.ask === ask && known.beganMs > oldestMs) return known;
    const flight = { ask, beganMs, result: this.#prober.probe(request) };
    this.#flights.set(key, flight);
    return flight;
  }

  #take(address: string, result: ProbeResult, dueMs: number): void {
    this.#answered.add(address);
    this.#entries = this.#entries.map((entry) =>
      entry.backend.address === address ? { backend: judged(entry.backend, result, this.#spec.check), dueMs } : entry,
    );
  }

  #isDone(): boolean {
    const hasChanged = this.#entries.some(({ backend }, index) => backend.healthy !== this.#first[index]?.healthy);
    return hasChanged || (this.#once && this.#answered.size === this.#entries.length);
  }
}
