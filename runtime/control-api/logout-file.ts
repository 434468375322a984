/**
 * Browser sessions that were ended by a logout before their cookie expires. Kept in a file of the node where there is
 * one, because the cookies stay valid over a restart, too. A principal that logs out more often than `mostPerPrincipal`
 * within the life of a cookie can do so, but its oldest logouts are then forgotten: others' never are.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { SharedClock } from '../contract/clock.ts';
import { describeCause } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';

const mostPerPrincipal = 100;

export interface Logouts {
  has(browser: string): boolean;
  /** @param endMs time of the shared clock at which its cookie has expired */
  add(browser: string, endMs: number, principal: string): void;
}

const lines = z.array(z.tuple([z.string(), z.number(), z.string()]));
type Line = z.output<typeof lines>[number];

export function memoryLogouts(
  clock: SharedClock,
  read: readonly Line[] = [],
  save?: (all: readonly Line[]) => void,
): Logouts {
  const ended = new Map<string, Line>(read.map((line) => [line[0], line]));
  return {
    has: (browser) => ended.has(browser),
    add(browser, endMs, principal) {
      const nowMs = clock.sharedMs();
      for (const [name, [, lineEndMs]] of ended) if (lineEndMs < nowMs) ended.delete(name);
      const own = [...ended.values()].filter((line) => line[2] === principal);
      for (const [name] of own.slice(0, Math.max(0, own.length + 1 - mostPerPrincipal))) ended.delete(name);
      ended.set(browser, [browser, endMs, principal]);
      save?.([...ended.values()]);
    },
  };
}

/** A file that is missing or damaged begins empty, with a line in the log: a logout more is no reason not to serve. */
export function openLogoutFile({ path, clock, log }: { path: string; clock: SharedClock; log: Log }): Logouts {
  const save = (all: readonly Line[]): void => {
    try {
      writeFileSync(`${path}.new`, JSON.stringify(all), { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch (error) {
      log.error({ path, why: describeCause(error) }, 'a logout could not be kept; after a restart its cookie is valid');
    }
  };
  return memoryLogouts(clock, readLines(path, log), save);
}

function readLines(path: string, log: Log): readonly Line[] {
  try {
    return lines.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      log.error(
        { path, why: describeCause(error) },
        'logouts cannot be read; cookies of ended sessions are valid again',
      );
    }
    return [];
  }
}
