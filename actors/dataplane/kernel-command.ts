/**
 * Command lines for `ip` and `bridge`; `command` is the only way to build one. A value is always one word or a part of
 * one word: no value can become a second word or a second command (docs/threats.md#t4). Pure; called by every noun
 * folder that changes the kernel.
 */

/** One line for `ip` or `bridge`, made only by `command`. */
export type Command = string & { readonly __brand: 'Command' };

const plainValue = /^[A-Za-z0-9@:,./_*-]+$/;

/**
 * A template tag: command`link set ${tap} up`. @throws TypeError for a value with a space, a line break or a shell
 * metacharacter
 */
export function command(texts: TemplateStringsArray, ...values: readonly (string | number)[]): Command {
  for (const value of values) {
    if (!plainValue.test(String(value))) throw new TypeError(`not a plain word: ${JSON.stringify(value)}`);
  }
  return String.raw({ raw: texts }, ...values) as Command;
}

/** One command from two halves, for long ones. */
export const joined = (head: Command, tail: Command): Command => `${head} ${tail}` as Command;
