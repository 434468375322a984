/**
 * A table of invalid declarations, each with the error code, path and message that must come back. Data only;
 * refusals.test.ts sends them and then shows that nothing was created. Images are in refusals-images.ts.
 */

export interface Refusal {
  readonly what: string;
  /** `<kind>/<tenant>/<name>` of the object to create. */
  readonly id: string;
  readonly params: unknown;
  readonly code: string;
  /** Path of the first issue. */
  readonly path: string;
  readonly says: RegExp;
}

type Want = Pick<Refusal, 'code' | 'path' | 'says'>;
const want = (code: string, path: string, says: RegExp): Want => ({ code, path, says });

const network = (what: string, params: object, wanted: Want): Refusal => ({
  what: `network: ${what}`,
  id: 'network/acme/bad',
  params,
  ...wanted,
});
const cidr = (text: string, says: RegExp, code = 'cidr_invalid'): Refusal =>
  network(text, { subnets: [{ cidr: text }] }, want(code, 'spec.subnets.0.cidr', says));
const gateway = (text: string): Refusal =>
  network(
    `gateway ${text}`,
    { subnets: [{ cidr: '10.30.0.0/24', gateway: text }] },
    want('gateway_outside_subnet', 'spec.subnets.0.gateway', /not a usable address of 10\.30\.0\.0\/24/),
  );
const port = (what: string, params: object, wanted: Want): Refusal => ({
  what: `port: ${what}`,
  id: 'port/acme/bad',
  params: { network: 'front', ...params },
  ...wanted,
});
const address = (text: string, code: string, says: RegExp): Refusal =>
  port(`address ${text}`, { address: text }, want(code, 'spec.address', says));
const reserved = (text: string): Refusal => address(text, 'address_reserved', /the first 5 addresses and the last/);
const volume = (what: string, params: object, wanted: Want): Refusal => ({
  what: `volume: ${what}`,
  id: 'volume/acme/bad',
  params: { sizeMib: 1, ...params },
  ...wanted,
});
const vm = (what: string, params: object, wanted: Want): Refusal => ({
  what: `vm: ${what}`,
  id: 'vm/acme/bad',
  params: { nics: [{ network: 'front' }], disks: [{ volume: 'disk' }], ...params },
  ...wanted,
});
const unknownField = (path: string): Want => want('params_invalid', path, /unknown field/);
const noName = /1 to 40 characters: lower case letters/;
const missing = (path: string): Want => want('reference_not_found', path, /create it first or correct the name/);

const unfit = (path: string, says: RegExp): Want => want('reference_unfit', path, says);

const fine = [{ cidr: '10.30.0.0/24' }];

/**
 * The tenant acme already has network front 10.20.0.0/24, in it port p1 with this MAC and address, volume disk, and the
 * images linux (a kernel) and first (an initrd).
 */
export const takenMac = '06:11:22:33:44:55';
export const takenAddress = '10.20.0.9';

export const networkRefusals: readonly Refusal[] = [
  cidr('10.20.0.0/24', /is already a subnet of network\/acme\/front/, 'cidr_overlap'),
  cidr('10.20.0.128/25', /overlaps/, 'cidr_overlap'),
  cidr('10.0.0.0/8', /overlaps/, 'cidr_overlap'),
  network(
    'a second subnet over the first',
    { subnets: [...fine, { cidr: '10.30.0.128/25' }] },
    want('cidr_overlap', 'spec.subnets.1.cidr', /overlaps 10\.30\.0\.0\/24 of subnet 0/),
  ),
  cidr('10.30.0.1/24', /host bits set; did you mean 10\.30\.0\.0\/24/),
  cidr('10.30.0.0/29', /prefix of 29; it must be 8 to 28/),
  cidr('10.0.0.0/7', /prefix of 7/),
  cidr('010.30.0.0/24', /is not a CIDR/),
  cidr('10.30.0.0', /is not a CIDR/),
  cidr('fd00::/64', /is IPv6, and only IPv4 is built/),
  cidr('127.0.0.0/24', /loopback/),
  cidr('169.254.64.0/24', /link local/),
  cidr('224.0.0.0/24', /multicast/),
  cidr('10.30.0.0/24\nx', /is not a CIDR/),
  gateway('10.31.0.1'),
  gateway('10.30.0.0'),
  gateway('10.30.0.255'),
  network('no subnet', { subnets: [] }, want('params_invalid', 'spec.subnets', /at least 1/)),
  network('unknown field', { subnets: fine, color: 'red' }, unknownField('spec.color')),
  network(
    'unknown field in a subnet',
    { subnets: [{ cidr: '10.30.0.0/24', dns: [] }] },
    unknownField('spec.subnets.0.dns'),
  ),
  network('a DHCP option of its own', { subnets: fine, dhcp: { script: '/bin/sh' } }, unknownField('spec.dhcp.script')),
  network(
    'a newline in the domain',
    { subnets: fine, dhcp: { domain: 'a\ndhcp-script=/x' } },
    want('params_invalid', 'spec.dhcp.domain', /must be a domain name/),
  ),
  network(
    'a host name as DNS server',
    { subnets: fine, dhcp: { dns: ['dns.example'] } },
    want('params_invalid', 'spec.dhcp.dns.0', /IPv4/),
  ),
  network(
    'a DNS server that is the DHCP server itself',
    { subnets: fine, dhcp: { dns: ['0.0.0.0'] } },
    want('params_invalid', 'spec.dhcp.dns.0', /not 0\.0\.0\.0/),
  ),
  network(
    "another tenant's VPC by path",
    { subnets: fine, vpc: 'beta/main' },
    want('params_invalid', 'spec.vpc', noName),
  ),
  network("another tenant's VPC by name", { subnets: fine, vpc: 'side' }, missing('spec.vpc')),
];

export const portRefusals: readonly Refusal[] = [
  address('10.99.0.9', 'address_outside_subnet', /choose one in 10\.20\.0\.0\/24/),
  address(takenAddress, 'address_taken', /held by port\/acme\/p1; choose another, or none/),
  ...['10.20.0.0', '10.20.0.1', '10.20.0.2', '10.20.0.3', '10.20.0.4', '10.20.0.255'].map(reserved),
  address('010.20.0.10', 'params_invalid', /IPv4/),
  address('10.20.0.10 ', 'params_invalid', /IPv4/),
  address('fe80::1', 'params_invalid', /IPv4/),
  port('a MAC that is taken', { mac: takenMac }, want('mac_taken', 'spec.mac', /port\/acme\/p1 in this network/)),
  port('a multicast MAC', { mac: '07:11:22:33:44:55' }, want('mac_invalid', 'spec.mac', /multicast/)),
  port("the cloud's own MACs", { mac: '02:00:5e:00:00:01' }, want('mac_invalid', 'spec.mac', /reserved for the cloud/)),
  port('a MAC that is none', { mac: '06-11-22-33-44-66' }, want('params_invalid', 'spec.mac', /hex pairs/)),
  port('no address but one at rest', { network: 'small' }, want('addresses_resting', 'spec.address', /in [1-6]\d\d s/)),
  port(
    'a host named by a word of JavaScript',
    { host: 'constructor' },
    want('host_not_found', 'spec.host', /no host c/),
  ),
  port('a host that is not there', { host: 'w9' }, want('host_not_found', 'spec.host', /no host w9/)),
  port('a network that is not there', { network: 'nowhere' }, missing('spec.network')),
  port("another tenant's network by name", { network: 'theirs' }, missing('spec.network')),
  port("another tenant's network by path", { network: 'beta/theirs' }, want('params_invalid', 'spec.network', noName)),
  port(
    "another tenant's network by id",
    { network: 'network/beta/theirs' },
    want('params_invalid', 'spec.network', noName),
  ),
  port('unknown field', { holder: 'vm/beta/m' }, unknownField('spec.holder')),
  port('a group that is not there', { securityGroups: ['web'] }, missing('spec.securityGroups.0')),
  port(
    "another tenant's group by id",
    { securityGroups: ['security-group/beta/default'] },
    want('params_invalid', 'spec.securityGroups.0', noName),
  ),
  port(
    'a group twice',
    { securityGroups: ['default', 'default'] },
    want('params_invalid', 'spec.securityGroups', /names must differ/),
  ),
  port(
    'six groups',
    { securityGroups: ['a', 'b', 'c', 'd', 'e', 'f'] },
    want('params_invalid', 'spec.securityGroups', /5/),
  ),
];

const rules = (what: string, rule: object, code: string, path: string, says: RegExp): Refusal => ({
  what: `security-group: ${what}`,
  id: 'security-group/acme/bad',
  params: { rules: [{ direction: 'egress' }, { direction: 'ingress', ...rule }] },
  code,
  path: `spec.rules.1${path}`,
  says,
});

export const groupRefusals: readonly Refusal[] = [
  rules('ports of icmp', { protocol: 'icmp', ports: { from: 1, to: 2 } }, 'ports_unused', '.ports', /has no ports/),
  rules('ports of any', { ports: { from: 1, to: 2 } }, 'ports_unused', '.ports', /say tcp, udp or sctp/),
  rules('reversed', { protocol: 'tcp', ports: { from: 9, to: 8 } }, 'ports_reversed', '.ports', /9 is above 8/),
  rules('port 0', { protocol: 'tcp', ports: { from: 0, to: 8 } }, 'params_invalid', '.ports.from', /1/),
  rules('port 65536', { protocol: 'udp', ports: { from: 1, to: 65_536 } }, 'params_invalid', '.ports.to', /65535/),
  rules('type of tcp', { protocol: 'tcp', icmp: { type: 8 } }, 'icmp_unused', '.icmp', /has no icmp type/),
  rules('tcp by number', { protocol: 6 }, 'protocol_named', '.protocol', /is written tcp/),
  rules('protocol 256', { protocol: 256 }, 'params_invalid', '.protocol', /255/),
  rules('host bits', { remote: { cidr: '10.0.0.1/8' } }, 'cidr_invalid', '.remote.cidr', /did you mean 10\.0\.0\.0\/8/),
  rules('leading zero', { remote: { cidr: '010.0.0.0/8' } }, 'cidr_invalid', '.remote.cidr', /is not a CIDR/),
  rules('IPv6', { remote: { cidr: '2001:db8::/32' } }, 'cidr_invalid', '.remote.cidr', /only IPv4 is built/),
  rules(
    'both remotes',
    { remote: { cidr: '10.0.0.0/8', group: 'default' } },
    'params_invalid',
    '.remote.group',
    /unknown field/,
  ),
  rules('a group that is not there', { remote: { group: 'web' } }, 'reference_not_found', '.remote.group', /create it/),
  rules(
    'an address set that is not there',
    { remote: { addressSet: 'office' } },
    'reference_not_found',
    '.remote.addressSet',
    /create it/,
  ),
];

const serviceIp = (what: string, params: object, wanted: Want): Refusal => ({
  what: `service-ip: ${what}`,
  id: 'service-ip/acme/bad',
  params: {
    network: 'front',
    ports: [{ protocol: 'tcp', port: 80, targetPort: 80 }],
    backends: { selector: { app: 'web' } },
    ...params,
  },
  ...wanted,
});

export const serviceRefusals: readonly Refusal[] = [
  serviceIp("another tenant's network", { network: 'theirs' }, missing('spec.network')),
  serviceIp(
    'the address of a port',
    { address: takenAddress },
    want('address_taken', 'spec.address', /held by port\/acme\/p1/),
  ),
  serviceIp(
    'an address outside',
    { address: '10.99.0.1' },
    want('address_outside_subnet', 'spec.address', /10\.99\.0\.1 is in no subnet/),
  ),
  serviceIp('no port', { ports: [] }, want('params_invalid', 'spec.ports', /at least 1/)),
  serviceIp(
    'a port twice',
    { ports: [80, 81].map((targetPort) => ({ protocol: 'tcp', port: 80, targetPort })) },
    want('port_twice', 'spec.ports.1.port', /80\/tcp is already ports\.0; remove one/),
  ),
  serviceIp(
    'a protocol without ports',
    { ports: [{ protocol: 'icmp', port: 1, targetPort: 1 }] },
    want('params_invalid', 'spec.ports.0.protocol', /tcp/),
  ),
  serviceIp(
    'a selector of everything',
    { backends: { selector: {} } },
    want('params_invalid', 'spec.backends.selector', /1 to 8 labels/),
  ),
  serviceIp(
    '65 ports',
    { backends: { ports: Array.from({ length: 65 }, (_, at) => `p${at}`) } },
    want('params_invalid', 'spec.backends.ports', /64/),
  ),
  serviceIp(
    'a check of udp',
    { ports: [{ protocol: 'udp', port: 53, targetPort: 53 }], healthCheck: { protocol: 'tcp' } },
    want('check_port_missing', 'spec.healthCheck.port', /say the tcp port/),
  ),
  serviceIp(
    'a path of tcp',
    { healthCheck: { protocol: 'tcp', path: '/' } },
    want('check_path_unused', 'spec.healthCheck.path', /remove it, or say http/),
  ),
  serviceIp(
    'a header in the path',
    { healthCheck: { protocol: 'http', path: '/ HTTP/1.1\r\nHost: x' } },
    want('params_invalid', 'spec.healthCheck.path', /must begin with \//),
  ),
  serviceIp(
    'a time-out beyond the interval',
    { healthCheck: { protocol: 'http', timeoutSeconds: 9 } },
    want('check_timeout_long', 'spec.healthCheck.timeoutSeconds', /check less often/),
  ),
  rules(
    'a service IP that is not there',
    { direction: 'egress', remote: { serviceIp: 'web' } },
    'reference_not_found',
    '.remote.serviceIp',
    /create it/,
  ),
];

export const vmRefusals: readonly Refusal[] = [
  volume('no size', { sizeMib: 0 }, want('params_invalid', 'spec.sizeMib', /at least 1/)),
  volume('half a MiB', { sizeMib: 0.5 }, want('params_invalid', 'spec.sizeMib', /whole number/)),
  volume('a size as text', { sizeMib: '1' }, want('params_invalid', 'spec.sizeMib', /number/)),
  volume('too large', { sizeMib: 2 ** 21 }, want('params_invalid', 'spec.sizeMib', /at most 1048576/)),
  volume("another tenant's image", { image: 'picture' }, missing('spec.image')),
  volume('unknown field', { path: '/etc/passwd' }, unknownField('spec.path')),
  volume('a kernel as its first bytes', { image: 'linux' }, unfit('spec.image', /format kernel; .* raw or qcow2/)),
  volume('more than any host has', { sizeMib: 2 ** 20 }, want('no_space', 'spec.sizeMib', /no host .* 1048576 MiB/)),
  vm(
    'kernel and initrd swapped',
    { boot: { kernel: 'first', initrd: 'linux' } },
    unfit('spec.boot.kernel', /image\/acme\/first has the format initrd; an image of format kernel is needed/),
  ),
  vm(
    'two kernels',
    { boot: { kernel: 'linux', initrd: 'linux' } },
    unfit('spec.boot.initrd', /image\/acme\/linux has the format kernel/),
  ),
  vm(
    'a newline in the kernel command line',
    { boot: { kernel: 'k', initrd: 'i', commandLine: 'quiet\nsplash' } },
    want('params_invalid', 'spec.boot.commandLine', /on one line/),
  ),
  vm('images that are not there', { boot: { kernel: 'k', initrd: 'i' } }, missing('spec.boot.kernel')),
  vm("another tenant's volume", { disks: [{ volume: 'theirs' }] }, missing('spec.disks.0.volume')),
  vm(
    "another tenant's volume by path",
    { disks: [{ volume: 'beta/theirs' }] },
    want('params_invalid', 'spec.disks.0.volume', noName),
  ),
  vm("another tenant's network", { nics: [{ network: 'theirs' }] }, missing('spec.nics.0.network')),
  vm(
    'no address but one at rest',
    { nics: [{ network: 'small' }] },
    want('addresses_resting', 'spec.nics.0.address', /available in [1-6]\d\d s/),
  ),
  vm(
    'an address that is taken',
    { nics: [{ network: 'front', address: takenAddress }] },
    want('address_taken', 'spec.nics.0.address', /held by port\/acme\/p1/),
  ),
  vm(
    'an address outside, on the second NIC',
    { nics: [{ network: 'front' }, { name: 'eth1', network: 'front', address: '10.99.0.1' }] },
    want('address_outside_subnet', 'spec.nics.1.address', /10\.99\.0\.1 is in no subnet/),
  ),
  vm(
    'two NICs of one name',
    { nics: [{ network: 'front' }, { network: 'front' }] },
    want('params_invalid', 'spec.nics', /names must differ/),
  ),
  vm('no NIC', { nics: [] }, want('params_invalid', 'spec.nics', /at least 1/)),
  vm('nothing to boot', { disks: [] }, want('params_invalid', 'spec.boot', /boot images or a disk/)),
  vm('unknown field', { qemuArgs: ['-monitor', 'stdio'] }, unknownField('spec.qemuArgs')),
  vm('unknown field in a NIC', { nics: [{ network: 'front', tap: 'tap0' }] }, unknownField('spec.nics.0.tap')),
  vm(
    'unknown field in a disk',
    { disks: [{ volume: 'disk', path: '/etc/passwd' }] },
    unknownField('spec.disks.0.path'),
  ),
  vm(
    'an unversioned machine type',
    { machineType: 'pc,accel=tcg' },
    want('params_invalid', 'spec.machineType', /versioned q35/),
  ),
];

/** Names that no object may have. */
export const badNames: readonly string[] = [
  '',
  ' ',
  'a b',
  ' a',
  'a ',
  'a\nb',
  'a\n',
  'a\tb',
  'a\u0000b',
  'x'.repeat(41),
  'x'.repeat(300),
  '-rf',
  '--help',
  '-',
  'a-',
  'Acme',
  'ACME',
  '.',
  '..',
  '../x',
  'a/b',
  '/etc',
  'beta/x',
  'a_b',
  'a.b.c',
  'a@w1',
  '1a',
  '\u00e4',
  '\u0430',
  'a;b',
  'a,b',
  '$(id)',
  '*',
];
