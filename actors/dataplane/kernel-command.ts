/**
 * Lines for `ip` and `bridge`, the only way to make one. A value is one word or part of one, whatever it holds: no
 * text can become a second word or a second command (T4). Pure; called by every noun folder that changes the kernel.
 */

/** One line for `ip` or `bridge`, made only by `command`. */
export type Command = string & { readonly __brand: 'Command' };

const plainValue = /^[A-Za-z0-9@:,./_*-]+$/;

/**
 * Used as a tag: `link set ${tap} up`. @throws TypeError for a value with a space, a line break or a sign of a shell
 */
export function command(texts: TemplateStringsArray, ...values: readonly (string | number)[]): Command {
  for (const value of values) {
    if (!plainValue.test(String(value))) throw new TypeError(`not a plain word: ${JSON.stringify(value)}`);
  }
  return String.raw({ raw: texts }, ...values) as Command;
}

/** One command from two halves, for long ones. */
export const joined = (head: Command, tail: Command): Command => `${head} ${tail}` as Command;
