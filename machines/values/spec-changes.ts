/** Differences between two specs of a declared kind, with the class of each change. Used by declared.ts and the CLI. */
import { sameJson } from './failures.ts';
import type { AnyDeclared, ChangeClass, ItemRule, SpecChange } from './kind.ts';

/**
 * The fields that differ between two specs, with the class of each change. The older spec is first parsed with the
 * present schema, so a field that was added with a default is no change.
 */
export function specChanges(declared: AnyDeclared, before: object, after: object): readonly SpecChange[] {
  const parsed = declared.spec.safeParse(before);
  const [old, next] = [(parsed.success ? parsed.data : before) as Values, after as Values];
  const fields = [...new Set([...Object.keys(old), ...Object.keys(next)])].sort();
  return fields.flatMap((path): readonly SpecChange[] => {
    const [had, has] = [old[path] ?? null, next[path] ?? null];
    if (sameJson(had, has)) return [];
    const rule = declared.changes[path] as ChangeClass | ((...args: unknown[]) => readonly SpecChange[]);
    return typeof rule === 'function' ? rule(had, has, path) : leavesOf(path, had, has, rule);
  });
}

type Values = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The innermost fields that differ; a list counts as one field. */
function leavesOf(path: string, before: unknown, after: unknown, change: ChangeClass): readonly SpecChange[] {
  if (sameJson(before, after)) return [];
  if (!isRecord(before) || !isRecord(after)) return [{ path, before, after, change }];
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return fields.flatMap((field) => leavesOf(`${path}.${field}`, before[field] ?? null, after[field] ?? null, change));
}

/**
 * A rule for a list whose items have a key: added and removed items are of one class, changed fields of an item of
 * another, or of their own where `fields` names them.
 */
export function keyedItems<Item extends object>(
  key: keyof Item & string,
  classes: Readonly<Record<'added' | 'removed' | 'changed', ChangeClass>> & {
    readonly fields?: Readonly<Partial<Record<keyof Item & string, ChangeClass>>>;
  },
): ItemRule<readonly Item[]> {
  const { fields = {} } = classes;
  /** A named field is reported by itself; the others make one change of the item. */
  const itemChanges = (had: Item, item: Item, path: string): readonly SpecChange[] => {
    const named = (Object.entries(fields) as [keyof Item & string, ChangeClass][])
      .filter(([field]) => !sameJson(had[field] ?? null, item[field] ?? null))
      .map(([field, change]) => ({ path: `${path}.${field}`, before: had[field], after: item[field], change }));
    const rest = (of: Item): object => Object.fromEntries(Object.entries(of).filter(([field]) => !(field in fields)));
    return sameJson(rest(had), rest(item))
      ? named
      : [{ path, before: rest(had), after: rest(item), change: classes.changed }, ...named];
  };
  const rule = (before: readonly Item[], after: readonly Item[], path: string): readonly SpecChange[] => {
    const byKey = (items: readonly Item[]) => new Map(items.map((item) => [item[key], item]));
    const [old, next] = [byKey(before), byKey(after)];
    const at = (items: readonly Item[], value: unknown): string =>
      `${path}.${items.findIndex((item) => item[key] === value)}`;
    const changes: SpecChange[] = [];
    for (const [value, item] of old) {
      if (next.has(value)) continue;
      changes.push({ path: at(before, value), before: item, after: null, change: classes.removed, of: 'removal' });
    }
    for (const [value, item] of next) {
      const had = old.get(value);
      if (had === undefined)
        changes.push({ path: at(after, value), before: null, after: item, change: classes.added, of: 'addition' });
      else changes.push(...itemChanges(had, item, at(after, value)));
    }
    const order = (items: readonly Item[]) =>
      items.map((item) => item[key]).filter((one) => old.has(one) && next.has(one));
    const [had, has] = [order(before), order(after)];
    if (!sameJson(had, has)) changes.push({ path, before: had, after: has, change: classes.changed, of: 'order' });
    return changes;
  };
  const { added, removed, changed } = classes;
  const own = fields as Readonly<Record<string, ChangeClass>>;
  return Object.assign(rule, { says: `added: ${added}; removed: ${removed}; changed: ${changed}`, fields: own });
}
