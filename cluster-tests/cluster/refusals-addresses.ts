/**
 * Invalid pools, classless routes, address pairs, names and port security, each with the error that must come back; as
 * in refusals-cases.ts, which says what the tenant acme has already. Data only.
 */
import { takenAddress, takenMac, type Refusal } from './refusals-cases.ts';

type Want = readonly [code: string, path: string, says: RegExp];

const network = (what: string, more: object, dhcp: object, [code, path, says]: Want): Refusal => ({
  what: `network: ${what}`,
  id: 'network/acme/bad',
  params: { subnets: [{ cidr: '10.30.0.0/24', ...more }], dhcp },
  code,
  path,
  says,
});
const pool = (from: string, to: string, code: string, says: RegExp): Refusal =>
  network(`pool ${from} to ${to}`, { pools: [{ from, to }] }, {}, [code, 'spec.subnets.0.pools.0', says]);
const route = (destination: string, via: string, code: string, field: string, says: RegExp): Refusal => {
  const path = `spec.dhcp.routes.0.${field}`;
  return network(`route ${destination} via ${via}`, {}, { routes: [{ destination, via }] }, [code, path, says]);
};
const port = (what: string, params: object, [code, path, says]: Want): Refusal => ({
  what: `port: ${what}`,
  id: 'port/acme/bad',
  params: { network: 'front', ...params },
  code,
  path,
  says,
});
const pair = (cidr: string, code: string, says: RegExp, mac: string | null = null): Refusal => {
  const path = `spec.addressPairs.0.${mac === null ? 'cidr' : 'mac'}`;
  return port(`pair ${cidr} ${mac ?? ''}`, { addressPairs: [{ cidr, mac }] }, [code, path, says]);
};

export const addressRefusals: readonly Refusal[] = [
  pool('10.30.0.9', '10.30.0.8', 'pool_reversed', /exchange the two addresses/),
  pool('10.30.0.9', '10.31.0.8', 'pool_outside', /use 10\.30\.0\.5 to 10\.30\.0\.254/),
  pool('10.30.0.1', '10.30.0.8', 'pool_reserved', /has reserved addresses/),
  network('IPv6', { ipv6: { mode: 'slaac' } }, {}, ['params_invalid', 'spec.subnets.0.ipv6', /not built yet/]),
  route('0.0.0.0/0', '10.30.0.9', 'route_destination_invalid', 'destination', /is the default route/),
  route('10.8.0.1/16', '10.30.0.9', 'params_invalid', 'destination', /did you mean 10\.8\.0\.0\/16/),
  route('10.8.0.0/16', '10.31.0.9', 'route_via_invalid', 'via', /in no subnet of the network/),
  pair(takenAddress, 'address_taken', /held by port\/acme\/p1/),
  pair('10.20.0.8/30', 'address_taken', /10\.20\.0\.9 is held by port\/acme\/p1/),
  pair('10.20.0.1', 'address_reserved', /is the gateway/),
  pair('10.20.0.3', 'address_reserved', /is reserved/),
  pair('10.99.0.9', 'address_outside_subnet', /choose one in 10\.20\.0\.0\/24/),
  pair('10.20.0.0/24', 'params_invalid', /use a prefix of 28 to 32/),
  pair('fd00::9', 'params_invalid', /is IPv6, and only IPv4 is built/),
  pair('10.20.0.77', 'mac_taken', /port\/acme\/p1 in this network/, takenMac),
  pair('10.20.0.77', 'params_invalid', /reserved for the cloud/, '02:50:00:00:00:01'),
  port('no port security, by a tenant', { portSecurity: false }, ['forbidden', 'spec.portSecurity', /only operators/]),
  port('a name that is none', { dnsName: 'a.b' }, ['params_invalid', 'spec.dnsName', /lower case letters/]),
];
