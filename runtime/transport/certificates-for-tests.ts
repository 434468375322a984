/**
 * Test support: a throw-away CA and node certificates, made by the openssl program in a temporary folder that is
 * removed at once. Not used outside of tests; `photon init` makes the real ones.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PeerTls } from './peer-identity.ts';

export interface TestAuthority {
  readonly ca: string;
  /** A certificate whose common name is `name`, of a controller unless told otherwise; valid for 127.0.0.1 too. */
  issue(name: string, role?: string): PeerTls;
}

/** Makes a new, independent authority. */
export function createTestAuthority(): TestAuthority {
  const ecKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const within = <T>(work: (folder: string) => T): T => {
    const folder = mkdtempSync(join(tmpdir(), 'photon-certificates-'));
    try {
      return work(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
  const openssl = (folder: string, ...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const authority = within((folder) => {
    const subject = ['-subj', '/CN=photon test authority', '-days', '2'];
    openssl(folder, 'req', '-x509', ...ecKey, '-keyout', 'key', '-out', 'cert', ...subject);
    return { cert: readFileSync(join(folder, 'cert'), 'utf8'), key: readFileSync(join(folder, 'key'), 'utf8') };
  });
  return {
    ca: authority.cert,
    issue: (name, role = 'controller') =>
      within((folder) => {
        writeFileSync(join(folder, 'ca.cert'), authority.cert);
        writeFileSync(join(folder, 'ca.key'), authority.key);
        writeFileSync(join(folder, 'san'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
        openssl(folder, 'req', ...ecKey, '-keyout', 'key', '-out', 'request', '-subj', `/OU=${role}/CN=${name}`);
        const signer = ['-CA', 'ca.cert', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san'];
        openssl(folder, 'x509', '-req', '-in', 'request', '-out', 'cert', ...signer);
        const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
        return { ca: authority.cert, cert: read('cert'), key: read('key') };
      }),
  };
}
