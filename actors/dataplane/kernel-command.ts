/**
 * Command lines for `ip` and `bridge`; `command` is the only way to build one. A value is always one word or a part of
 * one word: no value can become a second word or a second command (docs/threats.md#t4). Pure; called by every noun
 * folder that changes the kernel.
 */

/** One line for `ip` or `bridge`, made only by `command`. */
export type Command = string & { readonly __brand: 'Command' };

/**
 * Once a long-lived `ip` was told a protocol by its name and then one by its number, it takes the name for that number.
 */
const namedProtocol = /\bproto [a-z]/;

const plainValue = /^[A-Za-z0-9@:,./_*-]+$/;

/**
 * A template tag: command`link set ${tap} up`. @throws TypeError for a value with a space, a line break or a shell
 * metacharacter, and for a protocol of a route that is not a number
 */
export function command(texts: TemplateStringsArray, ...values: readonly (string | number)[]): Command {
  for (const value of values) {
    if (!plainValue.test(String(value))) throw new TypeError(`not a plain word: ${JSON.stringify(value)}`);
  }
  const line = String.raw({ raw: texts }, ...values);
  if (namedProtocol.test(line)) throw new TypeError(`the protocol must be a number: ${line}`);
  return line as Command;
}

/** One command from two halves, for long ones. */
export const joined = (head: Command, tail: Command): Command => `${head} ${tail}` as Command;
