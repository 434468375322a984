/**
 * The commands of Redis for streams, for the simulated store. One difference: `MAXLEN ~` trims short streams exactly,
 * where Redis leaves up to a block of old entries, so that code that relies on an entry beyond the limit fails here.
 * Called through store-commands.ts; blocking is implemented in server-session.ts.
 */
import {
  ReplyFault,
  wholeNumber,
  wrongArguments,
  type StoreCommand,
  type Stream,
  type StreamEntry,
} from './keyspace.ts';

interface Place {
  readonly ms: number;
  readonly seq: number;
}

const idOf = ({ ms, seq }: Place): string => `${ms}-${seq}`;
const compare = (a: Place, b: Place): number => a.ms - b.ms || a.seq - b.seq;
const badId = (): ReplyFault => new ReplyFault('ERR Invalid stream ID specified as stream command argument');

function parseId(text: string, missingSeq: number): Place {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (match === null) throw badId();
  return { ms: Number(match[1]), seq: match[2] === undefined ? missingSeq : Number(match[2]) };
}

function newId(text: string, stream: Stream | undefined, wallMs: number): Place {
  const last = { ms: stream?.lastMs ?? 0, seq: stream?.lastSeq ?? 0 };
  const empty = stream === undefined || (last.ms === 0 && last.seq === 0);
  if (text === '*') {
    const ms = Math.max(last.ms, Math.floor(wallMs));
    return { ms, seq: ms === last.ms && !empty ? last.seq + 1 : 0 };
  }
  const open = /^(\d+)-\*$/.exec(text);
  if (open === null) return parseId(text, 0);
  const ms = Number(open[1]);
  if (ms === last.ms) return { ms, seq: last.seq + 1 };
  return { ms, seq: ms === 0 ? 1 : 0 };
}

/** Trims long streams in blocks, because removing from the front of an array costs its length. */
function trim(stream: Stream, keep: number): void {
  const excess = stream.entries.length - keep;
  if (excess > (keep < 1_000 ? 0 : 100)) stream.entries.splice(0, excess);
}

const xadd: StoreCommand = ({ space, wallMs }, args) => {
  const key = args[0] ?? '';
  let at = 1;
  let keep: number | undefined;
  if (args[at]?.toLowerCase() === 'maxlen') {
    at += args[at + 1] === '~' || args[at + 1] === '=' ? 2 : 1;
    keep = wholeNumber(args[at]);
    at += 1;
  }
  const [idText = '', ...fields] = args.slice(at);
  if (fields.length === 0 || fields.length % 2 !== 0) throw wrongArguments('xadd');
  const known = space.stream(key);
  const id = newId(idText, known, wallMs);
  if (id.ms === 0 && id.seq === 0) throw new ReplyFault('ERR The ID specified in XADD must be greater than 0-0');
  if (known !== undefined && compare(id, { ms: known.lastMs, seq: known.lastSeq }) <= 0)
    throw new ReplyFault('ERR The ID specified in XADD is equal or smaller than the target stream top item');
  const stream = known ?? space.streamForWriting(key);
  stream.entries.push({ ...id, fields });
  stream.lastMs = id.ms;
  stream.lastSeq = id.seq;
  if (keep !== undefined) trim(stream, keep);
  const bound = keep === undefined ? [] : ['MAXLEN', '=', String(keep)];
  space.wrote('XADD', key, ...bound, idOf(id), ...fields);
  return idOf(id);
};

const shown = (entry: StreamEntry): [string, readonly string[]] => [idOf(entry), entry.fields];

function placeOf(text: string, isStart: boolean): Place {
  if (text === '-') return { ms: 0, seq: 0 };
  if (text === '+') return { ms: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER };
  if (!text.startsWith('(')) return parseId(text, isStart ? 0 : Number.MAX_SAFE_INTEGER);
  const { ms, seq } = parseId(text.slice(1), isStart ? 0 : Number.MAX_SAFE_INTEGER);
  return { ms, seq: isStart ? seq + 1 : seq - 1 };
}

/** The first entry not below a place; entries are in order. */
function search(entries: readonly StreamEntry[], place: Place): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(entries[middle] as StreamEntry, place) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function range(stream: Stream | undefined, from: Place, to: Place): readonly StreamEntry[] {
  if (stream === undefined) return [];
  const end = search(stream.entries, { ms: to.ms, seq: to.seq + 1 });
  return stream.entries.slice(search(stream.entries, from), Math.max(end, 0));
}

function limit(args: readonly string[]): number {
  if (args.length === 0) return Infinity;
  if (args.length !== 2 || args[0]?.toLowerCase() !== 'count') throw new ReplyFault('ERR syntax error');
  return Math.max(0, wholeNumber(args[1]));
}

function cutOf(how: string, bound: string): (stream: Stream) => void {
  if (how === 'minid') {
    const first = parseId(bound, 0);
    return ({ entries }) => void entries.splice(0, search(entries, first));
  }
  if (how !== 'maxlen') throw new ReplyFault('ERR syntax error');
  const keep = wholeNumber(bound);
  return (stream) => trim(stream, keep);
}

export const streamCommands: Readonly<Record<string, StoreCommand>> = {
  xadd,
  xlen: ({ space }, [key = '']) => space.stream(key)?.entries.length ?? 0,
  xrange({ space }, [key = '', from = '', to = '', ...rest]) {
    const count = limit(rest);
    return range(space.stream(key), placeOf(from, true), placeOf(to, false)).slice(0, count).map(shown);
  },
  xrevrange({ space }, [key = '', to = '', from = '', ...rest]) {
    const count = limit(rest);
    const stream = space.stream(key);
    // The most frequent call: the last entry.
    if (to === '+' && from === '-' && count === 1) return stream?.entries.slice(-1).map(shown) ?? [];
    return range(stream, placeOf(from, true), placeOf(to, false)).toReversed().slice(0, count).map(shown);
  },
  xdel({ space }, [key = '', ...ids]) {
    const stream = space.stream(key);
    if (stream === undefined) return 0;
    const wanted = new Set(ids.map((id) => idOf(parseId(id, 0))));
    const before = stream.entries.length;
    stream.entries = stream.entries.filter((entry) => !wanted.has(idOf(entry)));
    if (stream.entries.length !== before) space.wrote('XDEL', key, ...ids);
    return before - stream.entries.length;
  },
  xtrim({ space }, [key = '', how = '', ...rest]) {
    const bound = rest.at(-1) ?? '';
    const cut = cutOf(how.toLowerCase(), bound);
    const stream = space.stream(key);
    if (stream === undefined) return 0;
    const before = stream.entries.length;
    cut(stream);
    if (stream.entries.length !== before) space.wrote('XTRIM', key, how.toUpperCase(), bound);
    return before - stream.entries.length;
  },
  xread({ space }, args) {
    const words = args.map((word) => word.toLowerCase());
    const streams = words.indexOf('streams');
    const countAt = words.slice(0, streams).indexOf('count');
    const count = countAt < 0 ? Infinity : wholeNumber(args[countAt + 1]);
    const names = args.slice(streams + 1);
    const half = names.length / 2;
    const found = names.slice(0, half).flatMap((key, index) => {
      const text = names[half + index] ?? '';
      const stream = space.stream(key);
      if (text === '$' || stream === undefined) return [];
      const { ms, seq } = parseId(text, 0);
      const entries = stream.entries.slice(search(stream.entries, { ms, seq: seq + 1 }));
      return entries.length === 0 ? [] : [[key, entries.slice(0, count).map(shown)]];
    });
    return found.length === 0 ? null : found;
  },
};
