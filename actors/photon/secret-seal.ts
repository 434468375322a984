/**
 * Seals secrets that clients declare, such as the user data of a VM: a controller encrypts them before any actor sees
 * them, and the worker whose guest gets one opens it. Store, histories, archives, messages and backups have only the
 * sealed text (form: machines/values/sealed.ts). The key is `seal.key` in the folder of every controller and worker,
 * the same for all; `photon init` makes it.
 *
 * AES-256-GCM. The nonce is made from actor and text with a second key, so that the same text of the same actor gives
 * the same sealed text: a declaration that is applied again is unchanged. The actor's id is authenticated: the sealed
 * text of one actor is worthless in the spec of another.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMark, isSealed, sealedBy } from '@photoncloud/machines/values/sealed';
import type { SecretSealer } from '@photoncloud/runtime/control-api/secret-params';
import { PhotonError } from '@photoncloud/runtime/contract/errors';

const sealKeyFile = 'seal.key';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const cipher = 'aes-256-gcm';

export interface SecretSeal extends SecretSealer {
  /** @throws defeat `secret_unreadable` */
  open(actor: string, sealed: string): string;
  /** A key of 32 bytes for one migration, the same on all nodes. Nothing that it encrypts is worth anything later. */
  migrationKey(migration: string): Buffer;
  /** A key of 32 bytes for one export of a volume, the same on all nodes. */
  exportKey(name: string): Buffer;
}

/** @param key 32 bytes; without one nothing can be sealed or opened */
export function secretSeal(key: Buffer): SecretSeal {
  const derived = (use: string): Buffer => Buffer.from(hkdfSync('sha256', key, '', `photon ${use}`, keyBytes));
  const [encryption, nonces] = [derived('encryption'), derived('nonces')];
  return {
    isMark,
    recall: sealedBy,
    migrationKey: (migration) => derived(`migration ${migration}`),
    exportKey: (name) => derived(`export ${name}`),
    seal(actor, text) {
      const plain = Buffer.from(text);
      const nonce = createHmac('sha256', nonces).update(`${actor}\n`).update(plain).digest().subarray(0, nonceBytes);
      const sealing = createCipheriv(cipher, encryption, nonce).setAAD(Buffer.from(actor));
      const parts = [nonce, sealing.update(plain), sealing.final(), sealing.getAuthTag()];
      return `sealed:1:${plain.length}:${Buffer.concat(parts).toString('base64url')}`;
    },
    open(actor, sealed) {
      if (!isSealed(sealed)) throw unreadable(actor);
      const bytes = Buffer.from(sealed.slice(sealed.lastIndexOf(':') + 1), 'base64url');
      const [nonce, tag] = [bytes.subarray(0, nonceBytes), bytes.subarray(-tagBytes)];
      try {
        const opening = createDecipheriv(cipher, encryption, nonce).setAAD(Buffer.from(actor)).setAuthTag(tag);
        return Buffer.concat([opening.update(bytes.subarray(nonceBytes, -tagBytes)), opening.final()]).toString();
      } catch (cause) {
        throw unreadable(actor, cause);
      }
    },
  };
}

const unreadable = (actor: string, cause?: unknown): PhotonError =>
  new PhotonError(
    'defeat',
    'secret_unreadable',
    `A secret of ${actor} cannot be opened on this host; give it the ${sealKeyFile} of the other nodes, or declare ` +
      'the secret again.',
    cause === undefined ? {} : { cause },
  );

/** @returns undefined for a node whose folder was made before there were seals */
export function openSeal(folder: string): SecretSeal | undefined {
  const path = join(folder, sealKeyFile);
  if (!existsSync(path)) return undefined;
  const key = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64url');
  if (key.length === keyBytes) return secretSeal(key);
  throw new PhotonError('defeat', 'node_folder', `${path} is no key; copy the ${sealKeyFile} of another node`);
}

/** What a worker without a key does with a sealed secret. @throws defeat `secret_unreadable` */
export const openNothing = (actor: string): never => {
  throw unreadable(actor);
};

/** What a worker without a key does when a VM is moved. @throws defeat `migration_key_missing` */
export const noMigrationKey = (): never => {
  const message = `This host has no ${sealKeyFile}; give it that of the other nodes, then migrate again.`;
  throw new PhotonError('defeat', 'migration_key_missing', message);
};

/** What a worker without a key does when a volume is served. @throws defeat `export_key_missing` */
export const noExportKey = (): never => {
  const message = `This host has no ${sealKeyFile}; give it that of the other nodes, then start the VM again.`;
  throw new PhotonError('defeat', 'export_key_missing', message);
};

/** Gives a node the cluster's key, which is made when there is none. A key that a node has is kept. */
export function giveSealKey(authority: string, node: string): void {
  const [kept, own] = [join(authority, sealKeyFile), join(node, sealKeyFile)];
  if (existsSync(own)) return;
  if (!existsSync(kept)) writeFileSync(kept, `${randomBytes(keyBytes).toString('base64url')}\n`, { mode: 0o600 });
  copyFileSync(kept, own);
}
