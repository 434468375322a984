/**
 * Derived names of kernel objects: prefix, one letter for the kind of object, base32 of a hash. A name never contains
 * text of a user (docs/threats.md#t4). Called by every noun folder. Promise: the same ids give the same names on every
 * run, at most 15 characters; two clusters on one computer differ in their prefix.
 */
import { createHash } from 'node:crypto';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';
const nameLength = 15;

/** Lower case base32 of sha256, the first `length` characters. */
export function hashName(text: string, length: number): string {
  const digest = createHash('sha256').update(text).digest();
  let bits = 0;
  let held = 0;
  let name = '';
  for (const byte of digest) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5 && name.length < length) {
      bits -= 5;
      name += base32[(held >> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return name;
}

export class KernelNames {
  readonly prefix: string;

  constructor(prefix: string) {
    if (!/^[a-z][a-z0-9]{0,3}$/.test(prefix))
      throw new TypeError(`the prefix must be 1 to 4 characters [a-z0-9], a letter first: ${JSON.stringify(prefix)}`);
    this.prefix = prefix;
  }

  #name(letter: string, text: string): string {
    const head = `${this.prefix}${letter}`;
    return head + hashName(text, nameLength - head.length);
  }

  /** The namespace of a VPC on this host. */
  namespaceOf(vpc: string): string {
    return this.#name('v', vpc);
  }

  /** The namespace beside it that leads out, on a gateway host; the same call leads back. */
  besideOf(namespace: string): string {
    const letter = this.isGateway(namespace) ? 'v' : 'g';
    const head = this.prefix.length;
    return `${this.prefix}${letter}${namespace.slice(head + 1)}`;
  }

  bridgeOf(network: string): string {
    return this.#name('b', network);
  }

  /** Derived from actor and uid: an actor created again under the same name gets another tap. */
  tapOf(owner: Pick<OwnerToken, 'actor' | 'uid'>): string {
    return this.#name('p', `${owner.actor} ${owner.uid}`);
  }

  /** The veth of a peering: both of its ends have this name, each in the namespace of its VPC. */
  peerLinkOf(peering: string): string {
    return this.#name('l', peering);
  }

  /** The nft table in the host's own namespace. */
  get underlayTable(): string {
    return `${this.prefix}_underlay`;
  }

  /** Another one there: the permits of the gateways. */
  get gatewayTable(): string {
    return `${this.prefix}_gateway`;
  }

  isNamespace(name: string): boolean {
    return this.#is('v', name);
  }

  isGateway(name: string): boolean {
    return this.#is('g', name);
  }

  isBridge(name: string): boolean {
    return this.#is('b', name);
  }

  isTap(name: string): boolean {
    return this.#is('p', name);
  }

  isPeerLink(name: string): boolean {
    return this.#is('l', name);
  }

  #is(letter: string, name: string): boolean {
    return name.length === nameLength && name.startsWith(`${this.prefix}${letter}`) && /^[a-z0-9]+$/.test(name);
  }
}

/**
 * MAC of a VPC towards external networks: the same on every gateway host, so that routers outside need not learn
 * another one when the next host takes over.
 */
export const externalMac = (cluster: string, vpc: string): string =>
  createHash('sha256')
    .update(`${cluster} ${vpc}`)
    .digest('hex')
    .slice(0, 10)
    .replaceAll(/../g, ':$&')
    .replace(/^/, '06');

/** The one VXLAN device of a VPC namespace. */
export const vxlanName = 'vx0';
/** The same on every bridge of every host, so that a guest that moves to another host keeps its gateway's MAC. */
export const gatewayMac = '02:00:5e:00:00:01';
export const overlayAddress = (hostIndex: number): string => `169.254.64.${hostIndex}`;
export const overlayMac = (hostIndex: number): string => `02:00:5f:00:00:${hostIndex.toString(16).padStart(2, '0')}`;
/** Inverse of overlayAddress; undefined for any other text. */
export function overlayIndex(address: string): number | undefined {
  const match = /^169\.254\.64\.(\d{1,3})$/.exec(address);
  return match === null ? undefined : Number(match[1]);
}
