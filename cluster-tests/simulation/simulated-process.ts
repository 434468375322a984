/**
 * A process of the simulation: the ports of runtime/contract bound to virtual time, kill and pause. Killing a process
 * drops everything it had in memory: its pending events never happen, and callers that wait for its answers get none.
 * Pausing is SIGSTOP: virtual time goes on while the process stands still. Clocks of processes differ: the wall clock
 * may step, the monotonic clock only drifts.
 */
import type { Clock } from '@photoncloud/runtime/contract/clock';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { Chance } from './seeded-random.ts';
import type { EventOwner, VirtualTime } from './virtual-time.ts';

/** Wall time at virtual zero: 2026-01-01. */
export const wallStartMs = 1_767_225_600_000;

export type LogSink = (
  process: string,
  level: string,
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

export class SimulatedProcess implements EventOwner {
  readonly label: string;
  readonly name: string;
  /** Unique per start. */
  readonly boot: string;
  readonly random: Chance;
  readonly clock: Clock;
  readonly log: Log;
  alive = true;
  paused = false;
  /** Added to the wall clock; faults step it. */
  wallOffsetMs = 0;
  private readonly time: VirtualTime;
  private readonly endListeners: (() => void)[] = [];

  constructor(time: VirtualTime, name: string, bootNumber: number, random: Chance, sink: LogSink) {
    this.time = time;
    this.name = name;
    this.boot = `${name}-boot-${bootNumber}`;
    this.label = `${name}.${bootNumber}`;
    this.random = random;
    const zeroMs = random.between(0, 1_000_000);
    const drift = 1 + (random.fraction() - 0.5) * 0.002;
    const lateness = random.split('lateness');
    this.clock = {
      wallMs: () => Math.floor(wallStartMs + time.nowMs + this.wallOffsetMs),
      monotonicMs: () => zeroMs + time.nowMs * drift,
      after: (delayMs, task) => {
        // As the timers of Node.js: whole milliseconds, at least one, and sometimes late.
        const whole = Math.max(1, Math.trunc(delayMs));
        const late = lateness.happens(0.02) ? lateness.around(5) : 0;
        return time.after(whole / drift + late, this, 'timer', task);
      },
    };
    this.log = logOf(this.label, sink, {});
  }

  /** Called when the process ends for whatever reason: connections break, peers notice. */
  onEnd(listener: () => void): void {
    this.endListeners.push(listener);
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const listener of this.endListeners.splice(0)) listener();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (this.paused) this.time.resume(this);
  }
}

function logOf(label: string, sink: LogSink, base: Readonly<Record<string, unknown>>): Log {
  const write =
    (level: string) =>
    (fields: Readonly<Record<string, unknown>>, message: string): void =>
      sink(label, level, message, { ...base, ...fields });
  return {
    debug: () => {},
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => logOf(label, sink, { ...base, ...fields }),
  };
}
