/**
 * The log port bound to pino: JSON lines for programs, aligned lines on a terminal. The log records what the process
 * did; what an actor did is in its history in the journal. Composition roots call `createLog` and pass the Log on.
 * Errors in fields are written with their chain of causes.
 */
import { Writable } from 'node:stream';
import { pino, stdTimeFunctions } from 'pino';
import type { DestinationStream, Logger } from 'pino';
import type { Log } from '../contract/log.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import { cleanLine, cleanText } from '../contract/shown-text.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LogOptions {
  readonly level?: LogLevel;
  /** Default: `pretty` when the destination is a terminal, else `json`. */
  readonly format?: 'json' | 'pretty';
  /** Default: standard error, so that standard output holds only the program's output. */
  readonly destination?: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** Fields on every line: `{node: 'w1'}`. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

const colours: Readonly<Record<string, string>> = {
  debug: '\x1b[90m',
  info: '\x1b[36m',
  warn: '\x1b[33m',
  error: '\x1b[31m',
};
const plain = '\x1b[0m';
const faint = '\x1b[90m';

function readable(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? 'undefined';
}

/** Formats one JSON line of pino for a terminal: time, level, message, then the fields in their order. */
export function prettyLine(line: string, coloured: boolean): string {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return `${cleanLine(line.replace(/\n$/, ''))}\n`;
  }
  const { time, level, msg, ...fields } = entry;
  const label = String(level);
  const rest = Object.entries(fields)
    .map(([name, value]) => cleanLine(`${name}=${readable(value)}`))
    .join(' ');
  const said = cleanLine(String(msg));
  const clockTime = String(time).slice(11, 23);
  const paint = (colour: string, text: string): string => (coloured ? `${colour}${text}${plain}` : text);
  const head = `${paint(faint, clockTime)} ${paint(colours[label] ?? '', label.toUpperCase().padEnd(5))}`;
  const tail = rest === '' ? '' : ` ${paint(faint, rest)}`;
  return `${head} ${rest === '' ? said : said.padEnd(44)}${tail}\n`;
}

function prettyStream(target: NodeJS.WritableStream, coloured: boolean): DestinationStream {
  return new Writable({
    decodeStrings: false,
    write(chunk: Buffer | string, _encoding, next) {
      target.write(prettyLine(chunk.toString(), coloured));
      next();
    },
  });
}

/** JSON lines are read with `tail` too, so they hold no character that a terminal obeys. */
const jsonStream = (target: NodeJS.WritableStream): DestinationStream => ({
  write: (line) => void target.write(cleanText(line)),
});

/** Replaces errors by their code and causes, because JSON.stringify yields `{}` for an Error. */
function writable(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const written: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof PhotonError) written[name] = `${value.record.code}: ${describeCause(value)}`;
    else if (value instanceof Error) written[name] = describeCause(value);
    else written[name] = value;
  }
  return written;
}

function bound(logger: Logger): Log {
  return {
    debug: (fields, message) => {
      if (logger.isLevelEnabled('debug')) logger.debug(writable(fields), message);
    },
    info: (fields, message) => logger.info(writable(fields), message),
    warn: (fields, message) => logger.warn(writable(fields), message),
    error: (fields, message) => logger.error(writable(fields), message),
    child: (fields) => bound(logger.child(writable(fields))),
  };
}

export function createLog(options: LogOptions = {}): Log {
  const target = options.destination ?? process.stderr;
  const terminal = target.isTTY === true;
  const pretty = (options.format ?? (terminal ? 'pretty' : 'json')) === 'pretty';
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: options.fields === undefined ? null : writable(options.fields),
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pretty ? prettyStream(target, terminal) : jsonStream(target),
  );
  return bound(logger);
}

/** Drops everything: for tests, and for programs that report errors themselves. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};
