/** Addresses and CIDRs in what clients declare: IPv4 in its one canonical form; IPv6 is refused in words of its own. */
import { z } from 'zod';
import { canonicalProblem } from './addresses.ts';

/** Why a text is no IPv4 address; the path says where it stands. */
const addressProblem = (input: unknown): string =>
  typeof input === 'string' && input.includes(':')
    ? `${JSON.stringify(input.slice(0, 40))} is IPv6, and only IPv4 is built: write an address such as 10.0.0.5`
    : 'must be an IPv4 address such as 10.0.0.5, without leading zeros';

/** Four decimals without leading zeros. */
export const addressSchema = z.ipv4({ error: ({ input }) => addressProblem(input) });

/** Any prefix length; no host bits. */
export const cidrSchema = z
  .string()
  .max(40)
  .superRefine((text, context) => {
    const message = canonicalProblem(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });

/** A field that is there for later: nothing else than null, so that nothing is half configured. */
export const ipv6Schema = z
  .null({ error: () => 'IPv6 is not built yet: leave it null; addresses are IPv4' })
  .default(null)
  .describe('Not built yet; only null.');
