/**
 * The one place where the CLI writes text. Names, reasons and answers are texts of others, so every control and
 * formatting character is written as its escape (shown-text.ts). Colours are marks that only this process can write and
 * that become escape sequences at the very end. JSON and YAML have the same escapes, so a program reads exactly the
 * value.
 *
 * A reader that closes the pipe (`photon list | head -1`) ends no command half way: later text is dropped, and
 * commands that only print ask `outputClosed`.
 */
import { randomUUID } from 'node:crypto';
import { StringDecoder } from 'node:string_decoder';
import { styleText } from 'node:util';
import { cleanLine, cleanText } from '@photoncloud/runtime/contract/shown-text';
import { Document, isScalar, Scalar, visit } from 'yaml';

type Style = 'red' | 'green' | 'yellow' | 'dim';

/** Nobody outside this process can write the mark, so no text of others is styled. */
const mark = randomUUID();
const marks = new RegExp(`${mark}(on|off):(red|green|yellow|dim);`, 'g');

const coloured = (): boolean => process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;

/** The text in a colour, on a terminal only. */
export const styled = (style: Style, text: string): string =>
  coloured() ? `${mark}on:${style};${text}${mark}off:${style};` : text;

/** How many columns the text takes once it is written. */
export const widthOf = (text: string): number => Array.from(cleanText(text.replace(marks, ''))).length;

function forTerminal(text: string): string {
  return cleanText(text).replace(marks, (_, end: 'on' | 'off', style: Style) => {
    const [on = '', off = ''] = styleText(style, ' ', { validateStream: false }).split(' ');
    return end === 'on' ? on : off;
  });
}

/** `JSON.stringify` with every character escaped that a terminal would obey; it parses to the same value. */
export const jsonText = (value: unknown, indent?: number): string =>
  cleanText(JSON.stringify(value ?? null, null, indent));

/** YAML that parses to the same value; a text with unsafe characters stands in double quotes. */
export function yamlText(value: unknown, lineWidth = 80): string {
  const document = new Document(JSON.parse(JSON.stringify(value ?? null)));
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === 'string' && cleanText(node.value) !== node.value) node.type = Scalar.QUOTE_DOUBLE;
    },
    Pair(_, { key }) {
      if (isScalar(key) && typeof key.value === 'string' && cleanText(key.value) !== key.value)
        key.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return cleanText(document.toString({ lineWidth }).trimEnd());
}

const closing = new AbortController();
/** Aborted once nobody reads the output any more. */
export const outputClosed: AbortSignal = closing.signal;

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (stream === process.stdout) closing.abort();
  });
}

function write(stream: NodeJS.WriteStream, text: string): void {
  if (stream.destroyed || (stream === process.stdout && outputClosed.aborted)) return;
  stream.write(forTerminal(text));
}

/** Writes a line, or lines, to standard output. */
export const say = (text: string): void => write(process.stdout, `${text}\n`);

/** Writes a line, or lines, to standard error. */
export const warn = (text: string): void => write(process.stderr, `${text}\n`);

/**
 * For what a guest prints: a terminal gets it as it is, because a console is a terminal; a pipe or a file gets text
 * whose control characters are escaped.
 */
export function passThrough(): (bytes: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  return (bytes) => {
    if (process.stdout.isTTY === true) process.stdout.write(bytes);
    else write(process.stdout, decoder.write(bytes).replaceAll('\r\n', '\n').replaceAll('\r', ''));
  };
}

/** Shows progress in one line that is overwritten; on a terminal only. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY === true) process.stderr.write(`\r\u001b[K${cleanLine(text)}\r`);
}

/** Writes what commander has to say; its texts end with a newline and repeat what the caller typed. */
export const commanderOutput = {
  writeOut: (text: string): void => write(process.stdout, text),
  writeErr: (text: string): void => write(process.stderr, text),
};
