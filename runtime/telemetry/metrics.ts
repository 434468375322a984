/**
 * Figures of a node in the text format of Prometheus (version 0.0.4). All are gauges, read when they are asked for.
 * Composition roots give the figures that their role has; the control API serves the text to operators.
 */
import type { LoopDelay } from './loop-delay.ts';

/** Name without the prefix, such as `api_sessions` -> its value now. Bytes and seconds, as Prometheus has it. */
export type Figures = Readonly<Record<string, number>>;

/** What every process has. */
export function processFigures(delay: LoopDelay): Figures {
  const { p50Ms, p99Ms, maxMs } = delay.summary();
  const { rss, heapUsed, external } = process.memoryUsage();
  return {
    event_loop_delay_median_seconds: p50Ms / 1_000,
    event_loop_delay_p99_seconds: p99Ms / 1_000,
    event_loop_delay_max_seconds: maxMs / 1_000,
    event_loop_delay_lasting_seconds: delay.lastingMs() / 1_000,
    memory_resident_bytes: rss,
    memory_heap_used_bytes: heapUsed,
    memory_external_bytes: external,
  };
}

export const metricsText = (figures: Figures): string =>
  Object.entries(figures)
    .map(([name, value]) => `# TYPE photon_${name} gauge\nphoton_${name} ${value}\n`)
    .join('');
