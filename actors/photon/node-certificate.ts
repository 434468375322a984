/**
 * The certificate of a running node. The files of its folder are looked at every few seconds: a renewed pair is used
 * for every later handshake, and links that are open stay open. Files that cannot be used are named in the log, and the
 * certificate in use stays. It also says when the certificate must be renewed. It issues nothing: the authority's key
 * is on no node (docs/decisions/0015-certificates-of-nodes.md).
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@photoncloud/runtime/contract/clock';
import { describeCause, PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';

export interface CertificateFacts {
  /** Wall times, ms. */
  readonly issuedMs: number;
  readonly expiresMs: number;
}

export const tlsVersion = { minVersion: 'TLSv1.3' } as const;

export interface NodeCertificateOptions {
  /** The node's folder, with `ca.crt`, `node.crt` and `node.key`. */
  readonly path: string;
  readonly node: string;
  readonly role: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly pollMs?: number;
}

/** A certificate is to be renewed when so much of its life is left. */
const renewalShare = 1 / 3;
const warnEveryMs = 3_600_000;

export class NodeCertificate {
  readonly #options: NodeCertificateOptions;
  readonly #listeners: ((tls: Pair) => void)[] = [];
  #tls: Pair;
  #facts: CertificateFacts;
  /** What the files contained that could not be used. */
  #refused = '';
  #warnedMs = Number.NEGATIVE_INFINITY;
  #cancel = (): void => {};

  /** @throws PhotonError defeat `certificate_unusable` */
  constructor(options: NodeCertificateOptions) {
    this.#options = options;
    this.#tls = readPair(options.path);
    this.#facts = factsOf(this.#tls, options);
    this.#look();
  }

  get tls(): Pair {
    return this.#tls;
  }

  get facts(): CertificateFacts {
    return this.#facts;
  }

  onChange(listener: (tls: Pair) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.#cancel();
  }

  #look(): void {
    const { clock, pollMs = 5_000 } = this.#options;
    this.#readAgain();
    this.#warn();
    this.#cancel = clock.after(pollMs, () => this.#look());
  }

  #readAgain(): void {
    const { path, node, log, clock } = this.#options;
    let seen = '';
    try {
      const tls = readPair(path);
      seen = tls.cert + tls.key + tls.ca;
      if (seen === this.#tls.cert + this.#tls.key + this.#tls.ca || seen === this.#refused) return;
      const facts = factsOf(tls, this.#options);
      if (facts.expiresMs <= clock.wallMs()) throw unusable(path, 'has expired');
      this.#tls = tls;
      this.#facts = facts;
      this.#refused = '';
      log.info({ node, expires: new Date(facts.expiresMs).toISOString() }, 'the certificate was renewed');
      for (const listener of this.#listeners) listener(tls);
    } catch (error) {
      if (seen === this.#refused && seen !== '') return;
      this.#refused = seen;
      log.warn({ why: describeCause(error), path }, 'the certificate files cannot be used; the one in use stays');
    }
  }

  #warn(): void {
    const { clock, log, node } = this.#options;
    const condition = certificateCondition(this.#facts, clock.wallMs());
    if (condition.status === 'True' || clock.monotonicMs() - this.#warnedMs < warnEveryMs) return;
    this.#warnedMs = clock.monotonicMs();
    log.error({ node, reason: condition.reason }, condition.message);
  }
}

export interface CertificateCondition {
  readonly type: 'CertificateValid';
  readonly status: 'True' | 'False';
  readonly reason: 'Valid' | 'RenewalDue' | 'Expired';
  readonly message: string;
}

export const isRenewalDue = ({ issuedMs, expiresMs }: CertificateFacts, wallMs: number): boolean =>
  expiresMs - wallMs < (expiresMs - issuedMs) * renewalShare;

/** `False` as soon as it is due for renewal, so that there is time to act. */
export function certificateCondition(facts: CertificateFacts, wallMs: number): CertificateCondition {
  const { expiresMs } = facts;
  const type = 'CertificateValid';
  const until = new Date(expiresMs).toISOString();
  const advice = 'run photon node renew where the authority is (docs/runbooks/certificates.md)';
  if (wallMs >= expiresMs)
    return { type, status: 'False', reason: 'Expired', message: `the certificate expired at ${until}; ${advice}` };
  if (isRenewalDue(facts, wallMs))
    return { type, status: 'False', reason: 'RenewalDue', message: `the certificate expires at ${until}; ${advice}` };
  return { type, status: 'True', reason: 'Valid', message: `the certificate is valid until ${until}` };
}

/** PEM texts. */
interface Pair {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

function readPair(path: string): Pair {
  const read = (name: string): string => readFileSync(join(path, name), 'utf8');
  return { ca: read('ca.crt'), cert: read('node.crt'), key: read('node.key') };
}

const unusable = (path: string, why: string): PhotonError =>
  new PhotonError('defeat', 'certificate_unusable', `${join(path, 'node.crt')} ${why}; issue it again`);

/** @throws PhotonError defeat `certificate_unusable` when it is not this node's, or its parts do not fit together */
function factsOf(
  { ca, cert, key }: Pair,
  { node, role, path }: Pick<NodeCertificateOptions, 'node' | 'role' | 'path'>,
): CertificateFacts {
  const certificate = new X509Certificate(cert);
  const subject = certificate.subject.split('\n');
  if (!subject.includes(`CN=${node}`) || !subject.includes(`OU=${role}`))
    throw unusable(path, `is of ${subject.join(' ')}, not of the ${role} ${node}`);
  if (!certificate.checkPrivateKey(createPrivateKey(key))) throw unusable(path, 'does not fit node.key');
  const issuers = (ca.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (text) => new X509Certificate(text),
  );
  if (!issuers.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)))
    throw unusable(path, 'is not signed by the authority in ca.crt');
  return { issuedMs: Date.parse(certificate.validFrom), expiresMs: Date.parse(certificate.validTo) };
}
