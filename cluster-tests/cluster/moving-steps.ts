/**
 * The durable steps of a migration as a watch of the control API tells them, and how a short one is held until a fault
 * is injected: an actor whose answer it awaits is paused by the operator's verb. Used by moving-cases.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { tenant } from './crash-tenant.ts';
import type { MovingScene, Subject } from './moving-scene.ts';

/** Top states of the chart, in their order forward; the last three undo. */
export const steps = [
  'reserving',
  'preparing',
  'receiving',
  'sending',
  'committing',
  'cutting',
  'switching',
  'stopping',
  'lingering',
  'clearing',
  'undoing',
  'ending',
  'removing',
] as const;
export type Step = (typeof steps)[number];

interface Hold {
  readonly id: string;
  /** The step at whose beginning it is paused; null: before the migration is asked for. */
  readonly from: Step | null;
}

/** Steps without one last long enough by themselves. */
export function holdOf(step: Step, { vm, volume, name }: Subject): Hold | undefined {
  const port = `port/${tenant}/${name}.eth0`;
  const holds: Partial<Record<Step, Hold>> = {
    reserving: { id: 'cluster/system/main', from: null },
    preparing: { id: volume, from: null },
    committing: { id: vm, from: 'sending' },
    cutting: { id: volume, from: 'sending' },
    switching: { id: port, from: 'sending' },
    clearing: { id: port, from: 'lingering' },
    removing: { id: volume, from: 'undoing' },
  };
  return holds[step];
}

/** Sees each step once, as it is told. */
export class StepWatch {
  readonly #end = new AbortController();
  readonly seen: Step[] = [];
  isGone = false;
  readonly #reading: Promise<void>;
  #wake: () => void = () => undefined;

  constructor({ acme }: MovingScene, { migration }: Subject, onStep: (step: Step) => void) {
    const frames = acme.client.watch({ ids: [migration] }, this.#end.signal);
    this.#reading = (async () => {
      for await (const frame of frames) {
        if (frame.type === 'removed') this.isGone = true;
        const actors =
          frame.type === 'items'
            ? frame.actors
            : frame.type === 'added' || frame.type === 'changed'
              ? [frame.actor]
              : [];
        for (const { stateName } of actors) {
          const step = stateName.split('.')[0] as Step;
          if (!steps.includes(step) || this.seen.includes(step)) continue;
          this.seen.push(step);
          onStep(step);
        }
        this.#wake();
      }
    })().catch(() => undefined); // it ends with the watch
  }

  /** @returns whether the step was reached before the migration had ended */
  async reach(step: Step, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!this.seen.includes(step) && !this.isGone && performance.now() < deadline) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      await Promise.race([woken, pause(200)]);
    }
    return this.seen.includes(step);
  }

  async close(): Promise<void> {
    this.#end.abort();
    await this.#reading;
  }
}
