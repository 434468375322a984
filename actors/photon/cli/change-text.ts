/** Changed fields as lines that read like a diff: the path, both values, and when the change takes effect. */
import type { SpecChange } from '@photoncloud/machines/values/kind';

/** Without the fields that say nothing. */
const plain = (value: unknown): unknown =>
  typeof value !== 'object' || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(
        Object.entries(value)
          .filter(([, one]) => one !== null && one !== '')
          .map(([name, one]) => [name, plain(one)]),
      );

const isListOfObjects = (value: unknown): value is readonly object[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'object' && one !== null);

/** Items of a list that is replaced as a whole: those that go and those that come, on lines of their own. */
function itemLines(before: readonly object[], after: readonly object[]): readonly string[] {
  const texts = (items: readonly object[]): readonly string[] => items.map((item) => JSON.stringify(plain(item)));
  const [had, has] = [texts(before), texts(after)];
  const gone = had.filter((one) => !has.includes(one)).map((one) => `- ${one}`);
  const come = has.filter((one) => !had.includes(one)).map((one) => `+ ${one}`);
  return gone.length + come.length === 0
    ? ['the same items in another order, or another number of times']
    : [...gone, ...come];
}

/** A line per field, with its class of change where that is not in place; the items of a list are below it. */
export function changeLines(changes: readonly SpecChange[]): readonly string[] {
  const shown = (value: unknown): string => JSON.stringify(value) ?? 'null';
  const when = (change: SpecChange['change']): string =>
    change === 'in place' ? '' : `  (${change === 'replace' ? 'cannot change' : change})`;
  const what = ({ before, after, of }: SpecChange): string => {
    if (of === 'addition') return `+ ${shown(after)}`;
    if (of === 'removal') return `- ${shown(before)}`;
    return `${of === 'order' ? 'order ' : ''}${shown(before)} -> ${shown(after)}`;
  };
  const width = Math.max(0, ...changes.map(({ path }) => path.length));
  return changes.flatMap((one): readonly string[] => {
    const { path, before, after, change, of } = one;
    if (of !== undefined || !isListOfObjects(before) || !isListOfObjects(after))
      return [`    ${path.padEnd(width)}  ${what(one)}${when(change)}`];
    return [`    ${path}${when(change)}`, ...itemLines(before, after).map((line) => `      ${line}`)];
  });
}
