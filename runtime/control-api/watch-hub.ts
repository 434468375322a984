/**
 * Follows the store's feed for watches: one shared feed for all watches that began with a snapshot, and a private feed
 * for each watch that resumes from a cursor. A feed that breaks is followed again from its last cursor; a watch is told
 * only when its cursor has expired.
 */
import type { Clock } from '../contract/clock.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import type { Cursor, FeedEntry, Reader } from '../contract/reader.ts';

export interface FeedListener {
  readonly onEntry: (entry: FeedEntry) => void;
  /** Changes were lost, so the watch needs a new snapshot (`cursor_expired`), or the feed was refused. */
  readonly onLost: (error: PhotonError) => void;
}

export interface WatchHub {
  /** Resolves when every later commit will be delivered: a list read after that misses no change. */
  join(listener: FeedListener): Promise<() => void>;
  /** Delivers every change after the cursor. @returns a function that ends it */
  resume(cursor: Cursor, listener: FeedListener): () => void;
  close(): void;
}

interface FeedPorts {
  readonly reader: Reader;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const retryMinMs = 100;
const retryMaxMs = 5_000;

export function createWatchHub(ports: FeedPorts): WatchHub {
  const listeners = new Set<FeedListener>();
  const privateFeeds = new Set<AbortController>();
  let shared: { readonly started: Promise<void>; readonly abort: AbortController } | undefined;

  const start = (): { readonly started: Promise<void>; readonly abort: AbortController } => {
    const abort = new AbortController();
    const broadcast: FeedListener = {
      onEntry: (entry) => listeners.forEach((listener) => listener.onEntry(entry)),
      onLost: (error) => {
        // The first watch that reads its new snapshot starts a new shared feed.
        shared = undefined;
        const lost = [...listeners];
        listeners.clear();
        for (const listener of lost) listener.onLost(error);
      },
    };
    const begin = async (): Promise<void> => {
      const cursor = await ports.reader.now();
      void followOn(ports, cursor, broadcast, abort.signal);
    };
    return { started: begin(), abort };
  };
  const leave = (listener: FeedListener): void => {
    listeners.delete(listener);
    if (listeners.size > 0 || shared === undefined) return;
    shared.abort.abort();
    shared = undefined;
  };

  return {
    async join(listener) {
      listeners.add(listener);
      shared ??= start();
      const joined = shared;
      try {
        await joined.started;
      } catch (error) {
        if (shared === joined) shared = undefined;
        listeners.delete(listener);
        throw error;
      }
      return () => leave(listener);
    },
    resume(cursor, listener) {
      const abort = new AbortController();
      privateFeeds.add(abort);
      void followOn(ports, cursor, listener, abort.signal);
      return () => {
        privateFeeds.delete(abort);
        abort.abort();
      };
    },
    close() {
      listeners.clear();
      shared?.abort.abort();
      shared = undefined;
      for (const feed of privateFeeds) feed.abort();
      privateFeeds.clear();
    },
  };
}

/** Never rejects: it ends when the signal is aborted, or by calling `onLost`. */
async function followOn(
  { reader, clock, random, log }: FeedPorts,
  since: Cursor,
  listener: FeedListener,
  signal: AbortSignal,
): Promise<void> {
  let cursor = since;
  let pauseMs = retryMinMs;
  while (!signal.aborted) {
    try {
      await reader.follow(
        cursor,
        (entry) => {
          if (signal.aborted) return;
          pauseMs = retryMinMs;
          listener.onEntry(entry);
          cursor = entry.cursor;
        },
        signal,
      );
    } catch (error) {
      if (signal.aborted) return;
      if (
        error instanceof PhotonError &&
        (error.record.group === 'rejection' || error.record.code === 'cursor_expired')
      ) {
        listener.onLost(error);
        return;
      }
      log.warn({ why: describeCause(error), pauseMs }, 'the feed broke; it is followed again from its last cursor');
    }
    if (signal.aborted) return;
    // A random delay, so that feeds that broke together do not reconnect together.
    await pause(clock, pauseMs * (0.5 + random.fraction()), signal);
    pauseMs = Math.min(retryMaxMs, pauseMs * 2);
  }
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      signal.removeEventListener('abort', end);
      cancel();
      resolve();
    };
    const cancel = clock.after(delayMs, end);
    signal.addEventListener('abort', end);
  });
}
