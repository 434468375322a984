/**
 * nix/addresses.nix decides what machines/values/addresses.ts decides: both are held to nix/address-vectors.json (the
 * other one by addresses.test.ts), and here to each other on random CIDRs.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as addresses from '@photoncloud/machines/values/addresses';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { NixPlace, whyNoNix } from './nix-place.ts';

const nix = new NixPlace();
test.after(() => nix.close());

const vectors: unknown = JSON.parse(readFileSync(join(checkout, 'nix/address-vectors.json'), 'utf8'));

/** An address, a prefix of 0 to 32, sometimes host bits, sometimes a text that is none. */
const texts = fc.sample(
  fc
    .tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 0, max: 34 }), fc.boolean())
    .map(([value, prefix, exact]) => {
      const size = 2 ** (32 - Math.min(prefix, 32));
      return `${addresses.formatAddress(exact ? Math.floor(value / size) * size : value)}/${prefix}`;
    }),
  { numRuns: 200, seed: 7 },
);
const byTypeScript = (text: string) => {
  const cidr = addresses.parseCidr(text) ?? null;
  return {
    cidr,
    problem: addresses.cidrProblem(text) ?? null,
    overlaps: cidr !== null && addresses.overlap(cidr, addresses.cidrOf('10.0.0.0/8')),
    last: cidr === null ? null : addresses.lastOf(cidr),
  };
};

function declare(): void {
  test('the vectors, texts included', () => {
    const evaluated = nix.evaluate(`
      let
        a = import (top + "/nix/addresses.nix");
        vectors = builtins.fromJSON (builtins.readFile (top + "/nix/address-vectors.json"));
        at = builtins.elemAt;
        judged = f: map (row: [ (at row 0) (f (at row 0)) ]);
        cidrOf = a.parseCidr;
      in {
        addresses = judged a.parseAddress vectors.addresses;
        cidrs = judged (a.cidrProblem a.maxPrefix) vectors.cidrs;
        overlaps = map
          (row: [ (at row 0) (at row 1) (a.overlap (cidrOf (at row 0)) (cidrOf (at row 1))) ]) vectors.overlaps;
        members = map ({ cidr, address, ... }: {
          inherit cidr address;
          inside = a.contains (cidrOf cidr) (a.parseAddress address);
          reserved = a.isReserved (cidrOf cidr) (a.parseAddress address);
        }) vectors.members;
        macs = judged a.macProblem vectors.macs;
        gateways = judged (cidr: a.defaultGateway (cidrOf cidr)) vectors.gateways;
      }`);
    assert.equal(evaluated, vectors);
  });

  test('random CIDRs, with and without host bits', () => {
    const evaluated = nix.evaluate(`
      let a = import (top + "/nix/addresses.nix");
      in map (text: let cidr = a.parseCidr text; in {
        inherit cidr;
        problem = a.cidrProblem a.maxPrefix text;
        overlaps = cidr != null && a.overlap cidr (a.parseCidr "10.0.0.0/8");
        last = if cidr == null then null else a.lastOf cidr;
      }) (builtins.fromJSON ''${JSON.stringify(texts)}'')`);
    assert.equal(evaluated, texts.map(byTypeScript));
  });
}

const reason = whyNoNix();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 1 (addresses in Nix): ${reason}`);

test.run();
