/**
 * Allowed address pairs: further addresses of a port, such as those of containers in a guest. A pair is a single
 * address or a CIDR of up to 16; each of its addresses is one like the port's own: allocated to this port alone, routed
 * to it, under its security groups. Pure; charts declare pairs with it, and the network and the port expand them.
 */
import { z } from 'zod';
import * as addresses from './addresses.ts';
import type { AddressPair } from './wiring.ts';

/** Sixteen addresses: each is a route on every host of the VPC. */
const shortestPrefix = 28;

/** `10.0.0.9` is `10.0.0.9/32`. */
const cidrText = (text: string): string => (text.includes('/') ? text : `${text}/32`);

/** VRRP demands MACs that are not locally administered (RFC 5798). */
const isVirtualRouter = (mac: string): boolean => /^00:00:5e:00:01:[0-9a-f]{2}$/.test(mac);

function rangeProblem(text: string): string | undefined {
  const wrong = addresses.canonicalProblem(cidrText(text));
  if (wrong !== undefined) return wrong;
  const { prefix } = addresses.cidrOf(cidrText(text));
  if (prefix >= shortestPrefix) return undefined;
  return `${text} has ${2 ** (32 - prefix)} addresses, and a pair has 16 at most: use a prefix of 28 to 32`;
}

export const addressPairsSchema = z
  .array(
    z.strictObject({
      cidr: z
        .string()
        .max(40)
        .superRefine((text, context) => {
          const message = rangeProblem(text);
          if (message !== undefined) context.addIssue({ code: 'custom', message });
        })
        .describe('An address, or a CIDR with a prefix of 28 to 32, in a subnet of the network.'),
      mac: z
        .string()
        .superRefine((mac, context) => {
          const message = isVirtualRouter(mac) ? undefined : addresses.macProblem(mac);
          if (message !== undefined) context.addIssue({ code: 'custom', message });
        })
        .nullable()
        .default(null)
        .describe('MAC that the addresses are reached at, and sent from; null: that of the port.'),
    }),
  )
  .max(10)
  .superRefine((pairs, context) => {
    const ranges = pairs.map(({ cidr }) => addresses.parseCidr(cidrText(cidr)));
    for (const [at, range] of ranges.entries()) {
      const other = ranges.slice(0, at).findIndex((one) => one && range && addresses.overlap(one, range));
      if (other !== -1)
        context.addIssue({
          code: 'custom',
          path: [at, 'cidr'],
          message: `${pairs[at]?.cidr} overlaps pair ${other}; an address has one MAC`,
        });
    }
  })
  .default([])
  .describe(
    'Further addresses that the port may send from and is reached at. Each belongs to one port at a time; for an ' +
      'address that moves between VMs by itself, declare a service IP.',
  );
export type DeclaredPairs = readonly { readonly cidr: string; readonly mac: string | null }[];

export interface NamedPair extends AddressPair {
  /** Index in the declared list. */
  readonly at: number;
}

/** Every address of the pairs, except the port's own, with the MAC that it is reached at. */
export const expandedPairs = (
  pairs: DeclaredPairs,
  own: { readonly address: string; readonly mac: string },
): readonly NamedPair[] =>
  pairs
    .flatMap(({ cidr, mac }, at) => {
      const range = addresses.cidrOf(cidrText(cidr));
      const all = Array.from({ length: addresses.sizeOf(range) }, (_, n) => addresses.formatAddress(range.base + n));
      return all.map((address) => ({ address, mac: mac ?? own.mac, at }));
    })
    .filter(({ address }) => address !== own.address);

/** A label of the DNS, in lower case. */
export const dnsNameSchema = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'must be 1 to 63 lower case letters, digits and inner hyphens, after a letter',
  )
  .nullable()
  .default(null)
  .describe('Host name that DHCP gives to the guest, unique in the network; null: the name of the port or VM.');

export const portSecuritySchema = z
  .boolean()
  .default(true)
  .describe(
    'false: the port sends with any source address, and its security groups do not apply; only operators may declare ' +
      'that. Its MAC stays pinned.',
  );
