/**
 * Differences of secrets, for `photon diff`: what the cluster shows of a secret is a mark, so only the cluster can say
 * whether a declared text is the secret that it has. Neither text is ever shown.
 */
import { isMark } from '@photoncloud/machines/values/sealed';
import type { SpecChange } from '@photoncloud/machines/values/kind';

type Values = Readonly<Record<string, unknown>>;

function withField(value: Values, [name = '', ...inner]: readonly string[], text: unknown): Values {
  const held = value[name];
  return { ...value, [name]: inner.length === 0 ? text : withField((held ?? {}) as Values, inner, text) };
}

/**
 * @param isUnchanged asks the cluster whether the object with this spec would be unchanged
 * @returns the changes, without secrets that are the same
 */
export async function withoutEqualSecrets(
  changes: readonly SpecChange[],
  secrets: readonly string[],
  stored: Values,
  isUnchanged: (spec: Values) => Promise<boolean>,
): Promise<readonly SpecChange[]> {
  const kept: SpecChange[] = [];
  for (const change of changes) {
    const { path, before, after } = change;
    if (!secrets.includes(path) || typeof after !== 'string') kept.push(change);
    else if (typeof before !== 'string') kept.push({ ...change, after: '(a secret)' });
    else if (isMark(after) || !(await isUnchanged(withField(stored, path.split('.'), after))))
      kept.push({ ...change, after: isMark(after) ? after : '(another secret)' });
  }
  return kept;
}
