/**
 * TLS with a pre-shared key, as QEMU and qemu-storage-daemon do it: the folder that they read a key from, and the
 * object that uses it. Used by migrations (docs/decisions/0019-key-of-a-migration.md) and by exports of volumes.
 *
 * Both ends are told the cipher. Left to itself QEMU takes ChaCha20: a pre-shared key is bound to SHA-256, and of the
 * ciphers with that hash it is the one that GnuTLS prefers, at a sixth of the speed of AES with the processor's
 * instructions. A server is also given Diffie-Hellman parameters, those of RFC 7919. TLS 1.3 agrees on a group by
 * itself, but without the file every server searches for a prime when it starts: 250 ms, and at times seconds.
 */
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** The name that the client proves to have the key of. */
const user = 'photon';
const priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM';

/** ffdhe2048 of RFC 7919. */
const groupFile = `-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
`;

/** Replaces what the folder had. @param uid of the only user that may read it; by default root */
export async function writeKeyFolder(folder: string, key: Buffer, uid = 0): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o500 });
  const files = { 'keys.psk': `${user}:${key.toString('hex')}\n`, 'dh-params.pem': groupFile };
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, name);
    await writeFile(file, text, { mode: 0o400 });
    await chown(file, uid, uid);
  }
  await chown(folder, uid, uid);
}

/** The object of one end. @param dir the folder, as that program sees it */
export const keyObject = (id: string, endpoint: 'server' | 'client', dir: string) => ({
  'qom-type': 'tls-creds-psk',
  id,
  endpoint,
  dir,
  priority,
  ...(endpoint === 'client' ? { username: user } : {}),
});
