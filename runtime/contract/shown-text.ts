/**
 * Text of others made safe to show on a terminal: every control and formatting character (ESC, U+009B, U+202E, a
 * carriage return) becomes its escape `\u001b`, because a terminal would obey it. The escapes are those of JSON, so a
 * JSON text keeps its value. Used by the CLI and the log.
 */

/** Controls, formatting characters (of direction, of no width), line separators, lone surrogates; not the newline. */
const unsafe = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu;

const escapeOf = (text: string): string =>
  Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');

/** Text of one or more lines. */
export const cleanText = (text: string): string => text.replace(unsafe, escapeOf);

/** The same for a value inside a line, where a newline would begin a line that looks like one of the program. */
export const cleanLine = (text: string): string => cleanText(text).replaceAll('\n', '\\n');
