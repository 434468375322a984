/**
 * Writes visits to the web app of a guest from outside of the cloud, each with a note of its own, and judges what the
 * guest has of them: every visit that was answered is there once, and none that nobody asked for. The page answers 200
 * only when SQLite has committed with synchronous=FULL, so a lost one is a broken promise of the volume. A visit
 * without an answer may or may not be there; it is never repeated.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../cluster/process-identity.ts';
import { patienceMs } from './six-node-boot.ts';
import { notesOfVisits, visitGuest, type GuestPlace } from '../demo/guest-page.ts';

export interface Attempt {
  readonly note: string;
  readonly askedMs: number;
  /** When it was answered, by the clock of `performance.now()`; undefined without an answer. */
  readonly ackedMs?: number;
  /** Of the guest that answered. */
  readonly boot?: string;
}

export interface WriterFigures {
  readonly acked: number;
  readonly unanswered: number;
  /** Longest time without an answer, ms. */
  readonly longestGapMs: number;
}

/** So long an answer may take; a guest whose processor is emulated on a busy machine needs some time. */
const answerWithinS = 10;
/** Between two visits: the guest's processor is for its disk, too. */
const pauseMs = 100;

/** What was asked and answered between two moments. */
export function figuresOf(attempts: readonly Attempt[], fromMs: number, toMs: number): WriterFigures {
  const within = (ms: number | undefined): ms is number => ms !== undefined && ms >= fromMs && ms <= toMs;
  const answers = attempts.map(({ ackedMs }) => ackedMs).filter(within);
  const moments = [fromMs, ...answers.toSorted((a, b) => a - b), toMs];
  return {
    acked: answers.length,
    unanswered: attempts.filter(({ askedMs, ackedMs }) => within(askedMs) && ackedMs === undefined).length,
    longestGapMs: Math.max(...moments.slice(1).map((one, at) => one - (moments[at] ?? one))),
  };
}

/** @param run first part of every note of the writer @returns what is wrong, empty when all is right */
export function judgeVisits(run: string, attempts: readonly Attempt[], notes: readonly string[]): string[] {
  const found = new Map<string, number>();
  for (const note of notes) if (note.startsWith(`${run}-`)) found.set(note, (found.get(note) ?? 0) + 1);
  const asked = new Set(attempts.map(({ note }) => note));
  const lost = attempts.filter(({ note, ackedMs }) => ackedMs !== undefined && !found.has(note));
  const lines = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${names.length} ${what}: ${names.slice(0, 5).join(', ')}`];
  return [
    ...lines(
      'answered visits are lost',
      lost.map(({ note }) => note),
    ),
    ...lines(
      'visits are there more than once',
      [...found].filter(([, count]) => count > 1).map(([note]) => note),
    ),
    ...lines(
      'visits are there that nobody made',
      [...found.keys()].filter((note) => !asked.has(note)),
    ),
  ];
}

export class VisitWriter {
  readonly #place: GuestPlace;
  readonly #run = `run${randomBytes(4).toString('hex')}`;
  readonly #attempts: Attempt[] = [];
  #writing: Promise<void> | undefined;
  #isWanted = false;

  /** @param place where the page is to be had from outside */
  constructor(place: GuestPlace) {
    this.#place = place;
  }

  start(): void {
    this.#isWanted = true;
    this.#writing ??= this.#write();
  }

  /** Resolves when the visit under way has ended. */
  async stop(): Promise<void> {
    this.#isWanted = false;
    await this.#writing;
    this.#writing = undefined;
  }

  async #write(): Promise<void> {
    while (this.#isWanted) {
      const attempt = { note: `${this.#run}-${this.#attempts.length + 1}`, askedMs: performance.now() };
      try {
        const { boot_id: boot } = await visitGuest(this.#place, attempt.note, answerWithinS);
        this.#attempts.push({ ...attempt, ackedMs: performance.now(), boot });
      } catch {
        this.#attempts.push(attempt); // the guest may be starting again, or its way may be cut
      }
      await pause(pauseMs);
    }
  }

  /** Boots that have answered since a moment of `performance.now()`, each time another one did; in their order. */
  boots(fromMs: number): string[] {
    const boots = this.#attempts.flatMap(({ ackedMs, boot }) => ((ackedMs ?? 0) >= fromMs ? (boot ?? []) : []));
    return boots.filter((boot, at) => boot !== boots[at - 1]);
  }

  /** Since a moment of `performance.now()`. */
  figures(fromMs: number): WriterFigures {
    return figuresOf(this.#attempts, fromMs, performance.now());
  }

  /** Waits for answered visits after now: the guest is reached. @throws Error when they do not come */
  async moreAnswers(count: number, timeoutMs: number): Promise<void> {
    const fromMs = performance.now();
    const isThere = (): boolean => this.figures(fromMs).acked >= count;
    await until(`the page answers ${count} more visits`, isThere, timeoutMs);
  }

  /**
   * Asks the guest for all visits and compares, while nothing is written.
   * @returns how many were answered @throws Error naming the visits that are lost or were not made
   */
  async judge(): Promise<number> {
    if (this.#isWanted) throw new Error('the writer must be stopped before it is judged');
    let notes: readonly string[] | undefined;
    let last = '';
    const isRead = async (): Promise<boolean> => {
      try {
        notes = await notesOfVisits(this.#place);
        return true;
      } catch (error) {
        last = String(error);
        return false;
      }
    };
    await until('the guest tells its visits', isRead, patienceMs).catch((error: unknown) => {
      throw new Error(`${String(error)}; last: ${last}`, { cause: error });
    });
    const wrong = judgeVisits(this.#run, this.#attempts, notes ?? []);
    if (wrong.length > 0) throw new Error(`the volume is not as it was answered:\n${wrong.join('\n')}`);
    return this.figures(0).acked;
  }
}
