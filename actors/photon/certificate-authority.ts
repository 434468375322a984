/**
 * The cluster's own certificate authority. It uses the openssl program, because Node cannot create certificates.
 * Keys are ECDSA P-256 and are written only into the folder they are made for. The authority's key stays where
 * `photon init` made it, which is no node: only commands that an operator runs there call this file
 * (docs/decisions/0015-certificates-of-nodes.md).
 */
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { execa } from 'execa';

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const authorityDays = '3650';
/** How long a node's certificate is valid. It is renewed when a third of that is left (node-certificate.ts). */
export const nodeCertificateDays = 30;

async function openssl(folder: string, args: readonly string[]): Promise<void> {
  const run = await execa('openssl', args, { cwd: folder, reject: false, timeout: 30_000, stdin: 'ignore' });
  if (run.exitCode === 0) return;
  const why = run.stderr.split('\n').slice(-3).join(' ');
  throw new PhotonError(
    'defeat',
    'certificate_failed',
    `openssl ${args[0]} failed: ${run.exitCode === undefined ? run.shortMessage : why}`,
  );
}

/** Makes `ca.crt` and `ca.key` in the folder. */
export async function makeAuthority(folder: string, cluster: string): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const extensions = [
    '-addext',
    'basicConstraints=critical,CA:TRUE,pathlen:0',
    '-addext',
    'keyUsage=critical,keyCertSign',
  ];
  const subject = ['-subj', `/CN=photon authority of ${cluster}`, '-days', authorityDays];
  await openssl(folder, ['req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', ...subject, ...extensions]);
  chmodSync(join(folder, 'ca.key'), 0o600);
}

export interface CertificateRequest {
  readonly name: string;
  readonly role: string;
  readonly addresses: readonly string[];
  /** Default: nodeCertificateDays. */
  readonly days?: number;
}

/**
 * Makes `node.crt` and `node.key` in `target`, or replaces them; peers take the node's name from CN and its role from
 * OU. Both are made beside it and moved in one after the other: a running node waits until they fit together.
 */
export async function issueCertificate(authority: string, target: string, request: CertificateRequest): Promise<void> {
  const { name, role, addresses, days = nodeCertificateDays } = request;
  const work = mkdtempSync(join(target, '.issue-'));
  try {
    const names = [`DNS:${name}`, 'DNS:localhost', ...addresses.map((address) => `IP:${address}`)];
    const extensions = [
      `subjectAltName=${names.join(',')}`,
      'extendedKeyUsage=serverAuth,clientAuth',
      'keyUsage=critical,digitalSignature',
      'basicConstraints=critical,CA:FALSE',
    ];
    writeFileSync(join(work, 'extensions'), `${extensions.join('\n')}\n`);
    const subject = ['-subj', `/OU=${role}/CN=${name}`];
    await openssl(work, ['req', ...newKey, '-keyout', 'node.key', '-out', 'request', ...subject]);
    const signer = ['-CA', join(authority, 'ca.crt'), '-CAkey', join(authority, 'ca.key'), '-days', String(days)];
    await openssl(work, ['x509', '-req', '-in', 'request', '-out', 'node.crt', ...signer, '-extfile', 'extensions']);
    chmodSync(join(work, 'node.key'), 0o600);
    for (const file of ['node.key', 'node.crt']) renameSync(join(work, file), join(target, file));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
