/**
 * Upkeep of the folder that `photon init` made, where the authority's key is: new certificates for its nodes, a folder
 * for a new node, new tokens. Everything works on files and asks no node. A running node whose folder is this one uses
 * what is new within seconds; for another computer an operator copies the named files, and the same happens there.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reject } from '@photoncloud/runtime/contract/errors';
import { issueCertificate } from './certificate-authority.ts';
import { digestOf, makeNode, secret, storeUserOf, tokenDays, tokenLife } from './cluster-init.ts';
import type { NodeRequest, TokenLine } from './cluster-init.ts';
import { nodeConfigSchema, type NodeConfig } from './node-config.ts';
import { isRenewalDue } from './node-certificate.ts';
import { giveSealKey } from './secret-seal.ts';
import { storeUsersFile, storeUsersSchema, type StoreUser } from './store-users.ts';

export interface Renewed {
  readonly node: string;
  readonly expiresMs: number;
  readonly renewed: boolean;
}

/** @throws rejection `authority_missing` */
function assureAuthority(folder: string): string {
  const authority = join(folder, 'authority');
  if (existsSync(join(authority, 'ca.key'))) return authority;
  throw reject('authority_missing', `${authority} has no ca.key; name the folder that photon init made, with --dir`);
}

const nodeFolders = (folder: string): string[] =>
  readdirSync(join(folder, 'nodes')).filter((name) => existsSync(join(folder, 'nodes', name, 'node.json')));

const configOf = (folder: string, node: string): NodeConfig =>
  nodeConfigSchema.parse(JSON.parse(readFileSync(join(folder, 'nodes', node, 'node.json'), 'utf8')));

/**
 * Renews the certificates that are due, or of the named nodes in any case, so that it can be run by a timer.
 * @throws rejection `authority_missing`, `not_found`
 */
export async function renewCertificates(
  folder: string,
  names: readonly string[],
  nowMs: number,
  days?: number,
): Promise<Renewed[]> {
  const authority = assureAuthority(folder);
  const known = nodeFolders(folder);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw reject('not_found', `${folder} has no node ${unknown.join(', ')}`);
  const done: Renewed[] = [];
  for (const name of known) {
    const path = join(folder, 'nodes', name);
    // A folder that was made before there were secrets has none.
    if (configOf(folder, name).role !== 'store') giveSealKey(authority, path);
    const renewed = names.includes(name) || (names.length === 0 && isRenewalDue(spanOf(path), nowMs));
    if (renewed) {
      const { role, address } = configOf(folder, name);
      const addresses = [address, '127.0.0.1'];
      await issueCertificate(authority, path, { name, role, addresses, ...(days === undefined ? {} : { days }) });
    }
    done.push({ node: name, renewed, expiresMs: spanOf(path).expiresMs });
  }
  return done;
}

function spanOf(path: string): { issuedMs: number; expiresMs: number } {
  const { validFrom, validTo } = new X509Certificate(readFileSync(join(path, 'node.crt')));
  return { issuedMs: Date.parse(validFrom), expiresMs: Date.parse(validTo) };
}

/**
 * Makes the folder of one more node, like those of `photon init`. The running nodes need to know nothing of it.
 * @throws rejection `authority_missing`, `node_exists`
 */
export async function addNode(folder: string, node: NodeRequest, allowedRoots?: readonly string[]): Promise<string> {
  const authority = assureAuthority(folder);
  const [first] = nodeFolders(folder);
  if (first === undefined)
    throw reject('not_found', `${folder}/nodes is empty; keep a copy of at least one node there`);
  const target = join(folder, 'nodes', node.node);
  if (existsSync(target)) throw reject('node_exists', `${target} exists; photon node renew ${node.node} renews it`);
  const model = configOf(folder, first);
  const tokens = tokenFilesOf(folder)[0];
  const password = secret();
  addStoreUsers(folder, storeUserOf(node, password));
  await makeNode(
    {
      cluster: model.cluster,
      allowedRoots: allowedRoots ?? model.allowedRoots,
      allowedSources: model.allowedSources,
      listenPorts: { peer: model.peerListenPort, api: model.apiListenPort },
    },
    node,
    {
      folder,
      authority,
      passwords: new Map([[node.node, password]]),
      users: [],
      store: model.store,
      tokens: tokens === undefined ? [] : (JSON.parse(readFileSync(tokens, 'utf8')) as TokenLine[]),
    },
  );
  return target;
}

/** Store nodes take the new users up while they run; on other computers an operator copies the file there. */
function addStoreUsers(folder: string, users: readonly StoreUser[]): void {
  for (const name of nodeFolders(folder)) {
    const path = join(folder, 'nodes', name, storeUsersFile);
    if (!existsSync(path)) continue;
    const before = storeUsersSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    replace(path, [...before, ...users]);
  }
}

const tokenFilesOf = (folder: string): string[] =>
  nodeFolders(folder)
    .map((name) => join(folder, 'nodes', name, 'tokens.json'))
    .filter((path) => existsSync(path));

/**
 * Gives a client a new token: its client file and the digests of all controllers are replaced. The former token is
 * refused as soon as a controller reads its file again.
 * @throws rejection `not_found`
 */
export function renewToken(folder: string, name: string, nowMs: number, days = tokenDays): string[] {
  const client = join(folder, 'clients', `${name}.json`);
  const files = tokenFilesOf(folder);
  if (!existsSync(client) || files.length === 0) throw reject('not_found', `${folder} has no client ${name}`);
  const token = secret();
  const renewed = { sha256: digestOf(token), ...tokenLife(nowMs, days) };
  for (const path of files) {
    const lines = JSON.parse(readFileSync(path, 'utf8')) as TokenLine[];
    if (!lines.some((line) => line.name === name)) throw reject('not_found', `${path} has no entry for ${name}`);
    replace(
      path,
      lines.map((line) => (line.name === name ? { ...line, ...renewed } : line)),
    );
  }
  replace(client, { ...(JSON.parse(readFileSync(client, 'utf8')) as object), token });
  return [client, ...files];
}

function replace(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
