/** What a declaration of subnets is refused for, in words that fit the case. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { networkSpec } from './network-protocol.ts';
import { specOf } from './network-rows-for-tests.ts';
import { problemsOf } from './network-spec.ts';

test('a CIDR that is declared twice is called so, and one that only shares addresses overlaps', () => {
  const messages = (second: string): string[] => {
    const subnets = [{ cidr: '10.0.0.0/24' }, { cidr: second, name: 'b' }];
    return problemsOf({ subnets: subnets as never }).map(({ message }) => message);
  };
  assert.equal(messages('10.0.0.0/24'), ['10.0.0.0/24 is already the CIDR of subnet 0']);
  assert.equal(messages('10.0.0.128/25'), ['10.0.0.128/25 overlaps 10.0.0.0/24 of subnet 0']);
});

const many = (count: number, destination: (n: number) => string) =>
  Array.from({ length: count }, (_, n) => ({ destination: destination(n), via: '10.0.0.9' }));
const badRoutes: readonly (readonly [readonly object[], string])[] = [
  [
    [{ destination: '0.0.0.0/0', via: '10.0.0.9' }],
    'route_destination_invalid spec.dhcp.routes.0.destination: 0.0.0.0/0 is the default route, which is always the ' +
      'gateway of the subnet; leave it out',
  ],
  [
    [{ destination: '169.254.169.254/32', via: '10.0.0.9' }],
    'route_destination_invalid spec.dhcp.routes.0.destination: 169.254.169.254/32 overlaps 169.254.0.0/16, which is ' +
      'never routed; leave it out',
  ],
  [
    [...many(2, (n) => `10.${n + 8}.0.0/16`), { destination: '10.8.0.0/16', via: '10.0.0.7' }],
    'route_destination_invalid spec.dhcp.routes.2.destination: 10.8.0.0/16 is already the destination of route 0; ' +
      'a guest has one next hop for it',
  ],
  [
    [{ destination: '10.8.0.0/16', via: '10.1.0.9' }],
    'route_via_invalid spec.dhcp.routes.0.via: 10.1.0.9 is in no subnet of the network, so no guest reaches it; ' +
      'choose an address in 10.0.0.0/24',
  ],
  [
    [{ destination: '10.8.0.0/16', via: '10.0.0.3' }],
    "route_via_invalid spec.dhcp.routes.0.via: 10.0.0.3 is reserved in 10.0.0.0/24, so it is nobody's; choose the " +
      'address of a port, or the gateway 10.0.0.1',
  ],
  [
    many(28, (n) => `10.8.${n}.0/32`),
    'routes_too_long spec.dhcp.routes: the routes of 10.0.0.0/24 take 257 bytes of DHCP option 121, and 255 fit; ' +
      'leave some out, or merge destinations',
  ],
];

test('a classless route that no guest could follow is refused with its path, the reason and what to do', () => {
  for (const [routes, refusal] of badRoutes) {
    const found = problemsOf(specOf({ subnets: [{ cidr: '10.0.0.0/24' }], dhcp: { routes } }));
    assert.equal(
      found.map(({ code, path, message }) => `${code} ${path}: ${message}`),
      [refusal],
    );
  }
  const right = [...many(27, (n) => `10.8.${n}.0/32`), { destination: '10.9.0.0/16', via: '10.0.0.1' }];
  assert.equal(problemsOf(specOf({ subnets: [{ cidr: '10.0.0.0/24' }], dhcp: { routes: right.slice(1) } })), []);
});

test('what is not built, or is no address, is refused in its own words', () => {
  const why = (input: object): string => {
    const [issue] = networkSpec.safeParse(input).error?.issues ?? [];
    return `${issue?.path.join('.')}: ${issue?.message}`;
  };
  const cidr = '10.0.0.0/24';
  const ipv6 = 'IPv6 is not built yet: leave it null; addresses are IPv4';
  const instead = 'is IPv6, and only IPv4 is built: write an address such as 10.0.0.5';
  const wrong = 'must be an IPv4 address such as 10.0.0.5, without leading zeros';
  const table: readonly (readonly [object, string])[] = [
    [{ subnets: [{ cidr, ipv6: { mode: 'slaac' } }] }, `subnets.0.ipv6: ${ipv6}`],
    [{ subnets: [{ cidr, ipv6: true }] }, `subnets.0.ipv6: ${ipv6}`],
    [{ subnets: [{ cidr, gateway: 'fd00::1' }] }, `subnets.0.gateway: "fd00::1" ${instead}`],
    [{ subnets: [{ cidr, gateway: '10.0.0.01' }] }, `subnets.0.gateway: ${wrong}`],
    [{ subnets: [{ cidr, pools: [{ from: '::1', to: '::2' }] }] }, `subnets.0.pools.0.from: "::1" ${instead}`],
    [{ subnets: [{ cidr }], dhcp: { dns: ['2001:db8::53'] } }, `dhcp.dns.0: "2001:db8::53" ${instead}`],
    [
      { subnets: [{ cidr }], dhcp: { routes: [{ destination: 'fd00::/8', via: '10.0.0.9' }] } },
      'dhcp.routes.0.destination: "fd00::/8" is IPv6, and only IPv4 is built: write 10.0.0.0/24',
    ],
    [
      { subnets: [{ cidr }], dhcp: { routes: [{ destination: '10.9.0.1/16', via: '10.0.0.9' }] } },
      'dhcp.routes.0.destination: 10.9.0.1/16 has host bits set; did you mean 10.9.0.0/16?',
    ],
  ];
  for (const [input, message] of table) assert.is(why(input), message);
  assert.is(networkSpec.safeParse({ subnets: [{ cidr, ipv6: null }] }).success, true);
});

test.run();
