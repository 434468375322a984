/**
 * What is refused although its certificate or token is genuine: nodes and clients that were removed. A revocation names
 * one of them and a moment: every certificate (or token) of that name that was issued up to then is refused. So a node
 * whose computer was replaced can return under its name with a certificate that was issued later. A refused certificate
 * has no links, in either direction, and its node counts as absent.
 *
 * They are fields of the cluster record, which every node reads with each beat. A node also remembers what it has read:
 * a store that was rolled back readmits nobody (cluster-membership.ts writes the lost ones again).
 * Rejected: a list of serial numbers (an operator has none of them at hand when a computer is stolen, and a number says
 * nothing about the next certificate); OCSP and CRL files (a second thing to distribute, and to find expired).
 */
import type { StoreLink } from '../journal/store-link.ts';
import type { StoreKeys } from '../journal/store-keys.ts';

/** `node:w1`, or `token:ann` for the tokens of a principal. */
export type Subject = `node:${string}` | `token:${string}`;

export interface Revocation {
  readonly subject: Subject;
  /** Wall time: what was issued up to then is refused. */
  readonly atMs: number;
  readonly by: string;
  readonly reason: string;
}

const prefix = 'revoked:';

export class Revocations {
  readonly #bySubject = new Map<Subject, Revocation>();

  /** Subjects whose record cannot be read: what was to be refused stays refused. */
  #damaged = new Set<Subject>();

  /**
   * @param record the fields of the cluster record
   * @returns whether there was anything new, and the revocations that the store has lost
   */
  read(record: Readonly<Record<string, string>>): { readonly isNew: boolean; readonly lost: readonly Revocation[] } {
    const stored = new Map<Subject, Revocation>();
    const damaged = new Set<Subject>();
    for (const [field, text] of Object.entries(record)) {
      if (!field.startsWith(prefix)) continue;
      const subject = field.slice(prefix.length) as Subject;
      const revocation = revocationOf(subject, text);
      if (revocation === undefined) damaged.add(subject);
      else stored.set(subject, revocation);
    }
    const fresh = [...stored.values()].filter(({ subject, atMs }) => atMs > this.#momentOf(subject));
    const lost = [...this.#bySubject.values()].filter(({ subject, atMs }) => atMs > (stored.get(subject)?.atMs ?? 0));
    for (const revocation of fresh) this.#bySubject.set(revocation.subject, revocation);
    const isNew = fresh.length > 0 || [...damaged].some((subject) => !this.#damaged.has(subject));
    this.#damaged = damaged;
    return { isNew, lost };
  }

  /** @param issuedMs when its certificate or token was issued; 0 when that is not known */
  isRevoked(subject: Subject, issuedMs: number): boolean {
    return this.#damaged.has(subject) || issuedMs <= this.#momentOf(subject);
  }

  of(subject: Subject): Revocation | undefined {
    return this.#bySubject.get(subject);
  }

  all(): readonly Revocation[] {
    return [...this.#bySubject.values()];
  }

  #momentOf(subject: Subject): number {
    return this.#bySubject.get(subject)?.atMs ?? -1;
  }
}

function revocationOf(subject: Subject, text: string): Revocation | undefined {
  try {
    const { atMs, by, reason } = JSON.parse(text) as Omit<Revocation, 'subject'>;
    return Number.isFinite(atMs) ? { subject, atMs, by, reason } : undefined;
  } catch {
    // Not JSON: damaged.
    return undefined;
  }
}

export async function writeRevocations(
  link: StoreLink,
  keys: StoreKeys,
  revocations: readonly Revocation[],
): Promise<void> {
  const fields = revocations.flatMap(({ subject, ...rest }) => [`${prefix}${subject}`, JSON.stringify(rest)]);
  if (fields.length > 0) await link.run((redis) => redis.hset(keys.cluster, ...fields));
}
