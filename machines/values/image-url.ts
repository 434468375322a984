/**
 * Which texts are addresses from which an image may be fetched (docs/threats.md#t10): http or https, one spelling, no
 * credentials. Used by the spec of an image, and by a worker for every address that a server redirects it to. Whether
 * the host of the address may be connected to is the worker's decision, once its name is resolved.
 */
import { z } from 'zod';

export interface ImageUrl {
  readonly isSecure: boolean;
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Path and query, as they are sent. */
  readonly target: string;
}

const form = /^(https?):\/\/([^/?#]*)([/?][^#]*)?(#.*)?$/;
const authorityForm = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{1,5}))?$/;
const nameForm = /^(?!-)[a-zA-Z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-zA-Z0-9_-]{1,63}(?<!-))*$/;
/** The last label of a name that some programs would take for a number: 127.1, 0x7f000001, 2130706433. */
const numericEnd = /(?:^|\.)(?:\d+|0[xX][0-9a-fA-F]*)$/;
/** Groups without leading zeros, lower case, the longest run of zeros written as `::`. */
const ipv6Form = /^(?=.*:)[0-9a-f:]{2,39}$/;

/** @returns its parts, or a text that says what is wrong with it */
export function readImageUrl(text: string): ImageUrl | string {
  // oxlint-disable-next-line no-control-regex -- it is what the rule wants to see
  if (!/^[\x21-\x7e]{1,2048}$/.test(text) || text.includes('\\'))
    return 'must be 1 to 2048 printable ASCII characters; write others as percent codes, names of hosts in Punycode';
  const [, scheme, authority = '', target = '/', fragment] = form.exec(text) ?? [];
  if (scheme === undefined) return 'must begin with https:// or http://, in lower case';
  if (authority.includes('@')) return 'must not contain credentials; publish the image without, or upload it';
  if (fragment !== undefined) return 'must not have a part after #';
  const [, named = '', portText] = authorityForm.exec(authority) ?? [];
  const port = portText === undefined ? (scheme === 'https' ? 443 : 80) : Number(portText);
  if (port < 1 || port > 65_535) return 'must have a port between 1 and 65535, or none';
  const host = readHost(named);
  if (host === undefined)
    return 'must name a host, or an IP address in its usual form (no octal, hexadecimal or short one)';
  return { isSecure: scheme === 'https', host, port, target: target.startsWith('?') ? `/${target}` : target };
}

function readHost(named: string): string | undefined {
  if (named.startsWith('[')) {
    const address = named.slice(1, -1);
    return ipv6Form.test(address) && z.ipv6().safeParse(address).success && !/(?:^|:)0[0-9a-f]/.test(address)
      ? address
      : undefined;
  }
  if (numericEnd.test(named)) return z.ipv4().safeParse(named).success ? named : undefined;
  return named.length <= 253 && nameForm.test(named) ? named : undefined;
}

export const imageUrl = z.string().check((context) => {
  const read = readImageUrl(context.value);
  if (typeof read === 'string') context.issues.push({ code: 'custom', message: read, input: context.value });
});
