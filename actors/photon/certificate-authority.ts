/**
 * The cluster's own certificate authority. It uses the openssl program, because Node cannot create certificates.
 * Keys are ECDSA P-256 and are written only into the folder they are made for. Only `photon init` calls this.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { execa } from 'execa';

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const validDays = '3650';

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
  const subject = ['-subj', `/CN=photon authority of ${cluster}`, '-days', validDays];
  await openssl(folder, ['req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', ...subject, ...extensions]);
  chmodSync(join(folder, 'ca.key'), 0o600);
}

/** Makes `node.crt` and `node.key` in `target`; peers take the node's name from CN and its role from OU. */
export async function issueCertificate(
  authority: string,
  target: string,
  node: { readonly name: string; readonly role: string },
  addresses: readonly string[],
): Promise<void> {
  const extensions = join(target, 'extensions');
  const names = [`DNS:${node.name}`, 'DNS:localhost', ...addresses.map((address) => `IP:${address}`)];
  const usage =
    'extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n';
  writeFileSync(extensions, `subjectAltName=${names.join(',')}\n${usage}`);
  const subject = `/OU=${node.role}/CN=${node.name}`;
  await openssl(target, ['req', ...newKey, '-keyout', 'node.key', '-out', 'request', '-subj', subject]);
  const signer = [
    '-CA',
    join(authority, 'ca.crt'),
    '-CAkey',
    join(authority, 'ca.key'),
    '-CAcreateserial',
    '-days',
    validDays,
  ];
  await openssl(target, ['x509', '-req', '-in', 'request', '-out', 'node.crt', ...signer, '-extfile', 'extensions']);
  chmodSync(join(target, 'node.key'), 0o600);
  for (const file of ['request', 'extensions']) rmSync(join(target, file));
}
