/**
 * IPv4 addresses, CIDRs and MACs: parsing, arithmetic and what a tenant may not use.
 * Text is the stored form; numbers are unsigned 32 bit and live only within a computation. Nothing here allocates.
 * network and port charts and the command schemas use it; every text that passes is safe to hand to the dataplane.
 */

/** A CIDR in numbers. `base` has no host bits. */
export interface Cidr {
  readonly base: number;
  readonly prefix: number;
}

export const minPrefix = 8;
export const maxPrefix = 28;

const decimal = /^(?:0|[1-9][0-9]{0,2})$/;
const macPattern = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

/** @returns the address as a number, or undefined unless it is four plain decimals without leading zeros. */
export function parseAddress(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!decimal.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export const formatAddress = (value: number): string =>
  [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');

/** @throws TypeError when the text is not an address: callers pass stored or validated text. */
export function addressOf(text: string): number {
  const value = parseAddress(text);
  if (value === undefined) throw new TypeError(`not an IPv4 address: ${JSON.stringify(text.slice(0, 40))}`);
  return value;
}

export const sizeOf = (cidr: Cidr): number => 2 ** (32 - cidr.prefix);
export const lastOf = (cidr: Cidr): number => cidr.base + sizeOf(cidr) - 1;
export const contains = (cidr: Cidr, address: number): boolean => address >= cidr.base && address <= lastOf(cidr);
export const overlap = (a: Cidr, b: Cidr): boolean => a.base <= lastOf(b) && b.base <= lastOf(a);

/** @returns the CIDR, or undefined when the text has no such form; host bits are kept out, see `cidrProblem`. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = '', prefix = '', rest] = text.split('/');
  const base = parseAddress(address);
  if (base === undefined || rest !== undefined || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(prefix)) return undefined;
  const bits = Number(prefix);
  const size = 2 ** (32 - bits);
  return { base: Math.floor(base / size) * size, prefix: bits };
}

/** @throws TypeError when the text is not a CIDR: callers pass stored or validated text. */
export function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new TypeError(`not a CIDR: ${JSON.stringify(text.slice(0, 40))}`);
  return cidr;
}

/** Ranges with a special meaning in IPv4; the overlay uses 169.254/16. */
const special: readonly { readonly range: string; readonly why: string }[] = [
  { range: '0.0.0.0/8', why: 'means this host' },
  { range: '127.0.0.0/8', why: 'is loopback' },
  { range: '169.254.0.0/16', why: 'is link local' },
  { range: '224.0.0.0/3', why: 'is multicast or reserved' },
];

/** @returns why nobody may declare this CIDR, or undefined when it may. @param longest the largest prefix length */
export function cidrProblem(text: string, longest = maxPrefix): string | undefined {
  const wrong = canonicalProblem(text);
  if (wrong !== undefined) return wrong;
  const cidr = cidrOf(text);
  if (cidr.prefix < minPrefix || cidr.prefix > longest) {
    return `${text} has a prefix of ${cidr.prefix}; it must be ${minPrefix} to ${longest}`;
  }
  const clash = special.find(({ range }) => overlap(cidrOf(range), cidr));
  return clash === undefined ? undefined : `${text} overlaps ${clash.range}, which ${clash.why}`;
}

/** Why a text is no CIDR in its one canonical form, whatever it is used for; undefined when it is one. */
export function canonicalProblem(text: string): string | undefined {
  const cidr = parseCidr(text);
  const shown = JSON.stringify(text.slice(0, 40));
  if (cidr === undefined && text.includes(':')) return `${shown} is IPv6, and only IPv4 is built: write 10.0.0.0/24`;
  if (cidr === undefined) return `${shown} is not a CIDR such as 10.0.0.0/24`;
  const exact = `${formatAddress(cidr.base)}/${cidr.prefix}`;
  return exact === text ? undefined : `${text} has host bits set; did you mean ${exact}?`;
}

/** Why a CIDR cannot be a destination: it lies in a range with a special meaning. */
export const specialWithin = (cidr: Cidr): string | undefined =>
  special.find(({ range }) => cidr.prefix >= cidrOf(range).prefix && contains(cidrOf(range), cidr.base))?.why;

export const networkAddress = (cidr: Cidr): number => cidr.base;
/** network, first usable (the gateway unless declared), two held for services and one spare */
export const reservedHead = 5;
export const isReserved = (cidr: Cidr, address: number): boolean =>
  address < cidr.base + reservedHead || address === lastOf(cidr);

/** The gateway of a subnet that declares none. */
export const defaultGateway = (cidr: Cidr): string => formatAddress(cidr.base + 1);

/** First three parts of an address: the key of its 256 neighbours. */
export const blockOf = (address: number): string => formatAddress(address).split('.').slice(0, 3).join('.');
export const blockBase = (block: string): number => addressOf(`${block}.0`);

/** Bits of a block as 64 hex digits, offset 0 first. */
export const emptyBits = '0'.repeat(64);

export function hasBit(bits: string, offset: number): boolean {
  return (Number.parseInt(bits.charAt(offset >> 2), 16) & (8 >> (offset & 3))) !== 0;
}

export function withBit(bits: string, offset: number, on: boolean): string {
  const at = offset >> 2;
  const mask = 8 >> (offset & 3);
  const digit = Number.parseInt(bits.charAt(at), 16);
  return bits.slice(0, at) + (on ? digit | mask : digit & ~mask).toString(16) + bits.slice(at + 1);
}

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

/** The MAC of an address unless one is declared: unique in a network because the address is. */
export function macOf(address: number): string {
  return [
    '02',
    '50',
    hex(address >>> 24),
    hex((address >>> 16) & 255),
    hex((address >>> 8) & 255),
    hex(address & 255),
  ].join(':');
}

const ownPrefixes = ['02:50:', '02:00:5e:', '02:00:5f:'] as const;

/** @returns why a tenant may not declare this MAC, or undefined when it may. */
export function macProblem(mac: string): string | undefined {
  if (!macPattern.test(mac))
    return `${JSON.stringify(mac.slice(0, 40))} is not a MAC in lower case such as 02:11:22:33:44:55`;
  const first = Number.parseInt(mac.slice(0, 2), 16);
  if ((first & 1) !== 0) return `${mac} is a multicast address`;
  if ((first & 2) === 0) return `${mac} is not locally administered: its second digit must be 2, 6, a or e`;
  const own = ownPrefixes.find((prefix) => mac.startsWith(prefix));
  return own === undefined ? undefined : `${mac} starts with ${own.slice(0, -1)}, which is reserved for the cloud`;
}
