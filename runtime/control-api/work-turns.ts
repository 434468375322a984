/**
 * Divides the event loop between clients and everything else that a node does: in one turn of the loop the frames of
 * clients are handled, and snapshots of watches are taken, for at most `turnMs`; the rest waits for a later turn.
 * Between two turns the timers and sockets of the node are served, so that beats and links go on however much clients
 * ask (docs/limits.md). What waits is taken from one scope after the other, so that a scope that asks much delays
 * itself.
 *
 * It bounds what is done at once, not what comes later of it, such as the answer of the store or the changes that a
 * watch is sent; rates and budgets do that. Called by client-session.ts, which stops reading a socket while a frame of
 * it waits here.
 */
import type { Clock } from '../contract/clock.ts';

/** @returns whether there is more of it to do, which then waits behind other scopes */
type Task = () => boolean;

export class WorkTurns {
  readonly #clock: Clock;
  readonly #turnMs: number;
  /** Scope -> its tasks; the scope whose turn is next comes first. */
  readonly #waiting = new Map<string, Task[]>();
  #running = false;
  #endsMs = 0;

  constructor(clock: Clock, turnMs: number) {
    this.#clock = clock;
    this.#turnMs = turnMs;
  }

  /** Runs the task at once when this turn has time left and nobody waits; else later. */
  run(scope: string, task: Task): void {
    while (this.#waiting.size === 0 && this.#hasTime()) if (!task()) return;
    this.#wait(scope, task);
  }

  #wait(scope: string, task: Task): void {
    const tasks = this.#waiting.get(scope);
    if (tasks === undefined) this.#waiting.set(scope, [task]);
    else tasks.push(task);
  }

  #hasTime(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#running) {
      this.#running = true;
      this.#endsMs = nowMs + this.#turnMs;
      setImmediate(() => this.#nextTurn());
    }
    return nowMs < this.#endsMs;
  }

  #nextTurn(): void {
    this.#running = false;
    while (this.#waiting.size > 0 && this.#hasTime()) {
      const [scope, tasks] = this.#waiting.entries().next().value as [string, Task[]];
      this.#waiting.delete(scope);
      const task = tasks.shift();
      if (tasks.length > 0) this.#waiting.set(scope, tasks);
      if (task?.() === true) this.#wait(scope, task);
    }
  }
}
