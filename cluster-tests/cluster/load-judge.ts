/**
 * Judges the records of command-load.ts against the final state of the ports, with one line per violation. Pure. Judges
 * K2 (versions without a gap), K3 (an address belongs to one port at a time) and K5 (no answered command is lost, none
 * applied twice) of docs/promises.md. Called by fault-scene.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import type { CommandRecord, LoadFigures } from './command-load.ts';

interface Created {
  readonly uid: string;
  readonly address: string;
}

/** The state of a port after the load. */
export interface PortNow {
  readonly uid: string;
  readonly stateName: string;
  /** Versions of the newest part of its history, in order. */
  readonly versions: readonly number[];
}

/** A run with a smaller share of answers that are `ok` is invalid. */
const leastOk = 0.3;

/** @returns why the run is invalid; undefined when it may be judged */
export function invalidity(figures: LoadFigures, wantedPerS: number): string | undefined {
  const { asked, ok, seconds } = figures;
  const share = ok / Math.max(1, asked);
  if (share < leastOk) return `only ${(share * 100).toFixed(0)} % of the answers were ok`;
  const perS = asked / seconds;
  return perS < wantedPerS ? `only ${perS.toFixed(0)} commands/s were asked, wanted ${wantedPerS}` : undefined;
}

function createdOf(record: CommandRecord): Created | undefined {
  if (!record.answer.ok || record.command !== 'create') return undefined;
  const { result } = record.answer.result as { result: { uid: string; address: string } };
  return { uid: result.uid, address: result.address };
}

/** A port holds its address from the answer to its creation until its deletion is sent. */
function sharedAddresses(records: readonly CommandRecord[]): string[] {
  const holdings: { port: string; address: string; fromMs: number; toMs: number }[] = [];
  const open = new Map<string, { port: string; address: string; fromMs: number; toMs: number }>();
  for (const record of records.toSorted((a, b) => a.invokedMs - b.invokedMs)) {
    const created = createdOf(record);
    if (created !== undefined) {
      const holding = { port: record.port, address: created.address, fromMs: record.answeredMs, toMs: Infinity };
      open.set(record.port, holding);
      holdings.push(holding);
    } else if (record.command === 'delete') {
      const holding = open.get(record.port);
      if (holding !== undefined) holding.toMs = record.invokedMs;
      open.delete(record.port);
    }
  }
  const wrong: string[] = [];
  const last = new Map<string, (typeof holdings)[number]>();
  for (const holding of holdings.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const before = last.get(holding.address);
    if (before !== undefined && before.toMs > holding.fromMs) {
      wrong.push(`${holding.address} was ${before.port}'s and ${holding.port}'s at once`);
    }
    if (before === undefined || holding.toMs > before.toMs) last.set(holding.address, holding);
  }
  return wrong;
}

function repeats(records: readonly CommandRecord[]): string[] {
  return records
    .filter(({ again, answer }) => again !== undefined && !isDeepStrictEqual(again, answer))
    .map(({ port, command, key, answer, again }) => {
      return `${command} ${port} key ${key}: answered ${JSON.stringify(answer)}, then ${JSON.stringify(again)}`;
    });
}

/** @param now the ports that exist now, by name */
export function wrongsOf(records: readonly CommandRecord[], now: ReadonlyMap<string, PortNow>): string[] {
  const wrong = [...repeats(records), ...sharedAddresses(records)];
  const uids = new Set<string>();
  const last = new Map<string, CommandRecord>();
  for (const record of records) {
    const { port, command, answer } = record;
    // Each port gets one command at a time, so only a lost or repeated command can cause a rejection.
    if (!answer.ok) wrong.push(`${command} ${port} was refused: ${answer.code}`);
    const created = createdOf(record);
    if (created !== undefined && uids.has(created.uid))
      wrong.push(`${port}: two creations gave the uid ${created.uid}`);
    if (created !== undefined) uids.add(created.uid);
    last.set(port, record);
  }
  for (const [port, record] of last) {
    const found = now.get(port);
    const wanted = createdOf(record)?.uid;
    if (found?.uid !== wanted) {
      wrong.push(`${port}: the last answer said ${wanted ?? 'deleted'}, there is ${found?.uid ?? 'nothing'}`);
    }
  }
  for (const [port, { versions }] of now) {
    const gap = versions.findIndex((version, at) => at > 0 && version - (versions[at - 1] ?? 0) > 1);
    if (gap > 0) wrong.push(`${port}: its history jumps from version ${versions[gap - 1]} to ${versions[gap]}`);
  }
  return wrong;
}
