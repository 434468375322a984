/**
 * The six-node cluster as nix/cluster/cluster.json declares it, checked: every mistake of the file is named at once,
 * each with its path. Nix reads the same file (nix/cluster/default.nix). It also says in which order the programs of
 * the nodes start. It starts nothing; six-node-boot.ts does.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { addressOf, cidrProblem, contains, lastOf, parseCidr } from '@photoncloud/machines/values/addresses';
import { nameSchema } from '@photoncloud/machines/values/identifiers';
import { z } from 'zod';
import { outside } from '../cluster/cluster-topology.ts';
import { checkout } from '../cluster/photon-commands.ts';

/** `redis-sentinel`: a Redis and a Sentinel (store-boxes.ts); the others are programs of photoncloud. */
const programs = ['redis-sentinel', 'controller', 'worker'] as const;
export type Program = (typeof programs)[number];

/** Path of a file of documents, from the top of the checkout. */
const documents = z
  .array(z.string().regex(/^[a-z][\w./-]*\.(yaml|json)$/, 'must be a path in the checkout'))
  .default([]);

const role = z.strictObject({
  program: z.enum(programs),
  /** Roles that must be ready, wherever they are, before a node with this one is started. */
  needs: z.array(nameSchema),
});
const node = z.strictObject({
  address: z.ipv4(),
  roles: z.array(nameSchema).min(1),
  /** Interface to the network outside; of gateways. */
  uplink: z.literal(outside.uplink).optional(),
});
const tenant = z.strictObject({
  documents,
  /** The VM that demo-vm-webapp looks at, and the external address under which its page is to be had. */
  webApp: z.strictObject({ vm: nameSchema, address: nameSchema }).optional(),
});

const shape = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9]{0,11}$/, 'must be 1 to 12 small letters and digits'),
  underlay: z
    .string()
    .refine((text) => cidrProblem(text, 24) === undefined, 'must be an IPv4 network like 192.0.2.0/24'),
  roles: z.record(nameSchema, role),
  nodes: z.record(nameSchema, node),
  /** What the operator declares. */
  documents,
  tenants: z.record(nameSchema, tenant),
});

type Declared = z.infer<typeof shape>;

/** Programs that are started together, once those of earlier groups are ready. */
export type BootGroup = readonly { readonly node: string; readonly program: Program }[];

export interface DeclaredCluster extends Declared {
  readonly order: readonly BootGroup[];
}

interface Unit {
  readonly node: string;
  readonly program: Program;
  readonly roles: readonly string[];
}

/** What runs on the nodes: one program for all roles of a node that it serves. */
function unitsOf({ roles, nodes }: Declared): Unit[] {
  return Object.entries(nodes).flatMap(([name, one]) =>
    programs.flatMap((program) => {
      const served = one.roles.filter((each) => roles[each]?.program === program);
      return served.length === 0 ? [] : [{ node: name, program, roles: served }];
    }),
  );
}

/**
 * Groups of programs, each of which needs only roles of groups before it. What a node needs of itself counts as given.
 * @throws Error naming the nodes that wait for each other
 */
export function bootOrder(declared: Declared): BootGroup[] {
  const groups: BootGroup[] = [];
  let waiting = unitsOf(declared);
  while (waiting.length > 0) {
    const isMissing = (needed: string, by: Unit): boolean =>
      waiting.some((other) => other !== by && other.roles.includes(needed));
    const needsOf = (unit: Unit): string[] => unit.roles.flatMap((one) => declared.roles[one]?.needs ?? []);
    const free = waiting.filter((unit) => !needsOf(unit).some((needed) => isMissing(needed, unit)));
    if (free.length === 0) {
      const words = waiting.map((unit) => `${unit.node} (${unit.roles.join(', ')})`);
      throw new Error(`these wait for each other: ${words.join(', ')}`);
    }
    groups.push(free.map(({ node: name, program }) => ({ node: name, program })));
    waiting = waiting.filter((unit) => !free.includes(unit));
  }
  return groups;
}

type Report = (path: readonly PropertyKey[], message: string) => void;

function checkRoles({ roles, nodes }: Declared, report: Report): void {
  for (const [name, { needs }] of Object.entries(roles))
    for (const [at, needed] of needs.entries())
      if (!Object.hasOwn(roles, needed)) report(['roles', name, 'needs', at], `there is no role ${needed}`);
  for (const [name, one] of Object.entries(nodes)) {
    for (const [at, held] of one.roles.entries())
      if (!Object.hasOwn(roles, held)) {
        report(['nodes', name, 'roles', at], `there is no role ${held}; roles are ${Object.keys(roles).join(', ')}`);
      }
    const own = new Set(one.roles.map((held) => roles[held]?.program));
    if (own.has('controller') && own.has('worker')) {
      report(['nodes', name, 'roles'], 'a node is a controller or a worker, not both: it has one folder');
    }
    const isGateway = one.roles.includes('gateway');
    if (isGateway !== (one.uplink !== undefined)) {
      report(['nodes', name, 'uplink'], isGateway ? 'a gateway needs an uplink' : 'only a gateway has an uplink');
    }
  }
}

function checkAddresses({ underlay, nodes }: Declared, report: Report): void {
  const range = parseCidr(underlay);
  if (range === undefined) return; // said by the field itself
  const seen = new Map<string, string>();
  for (const [name, { address }] of Object.entries(nodes)) {
    const path = ['nodes', name, 'address'];
    const number = addressOf(address);
    if (!contains(range, number) || number === range.base || number === lastOf(range)) {
      report(path, `${address} is no address of a host in ${underlay}`);
    }
    const other = seen.get(address);
    if (other !== undefined) report(path, `${other} has ${address}, too`);
    seen.set(address, name);
  }
}

function checkCounts(declared: Declared, report: Report): void {
  const count = (program: Program): number => unitsOf(declared).filter((unit) => unit.program === program).length;
  // The quorum of the Sentinels is two (store-boxes.ts).
  if (count('redis-sentinel') !== 3) report(['nodes'], `${count('redis-sentinel')} nodes hold the store; it needs 3`);
  for (const program of ['controller', 'worker'] as const)
    if (count(program) === 0) report(['nodes'], `no node is a ${program}`);
  const storeNeeds = Object.entries(declared.roles).filter(([, one]) => one.program === 'redis-sentinel');
  for (const [name, { needs }] of storeNeeds)
    if (needs.length > 0) report(['roles', name, 'needs'], 'the store is started first and needs nothing');
}

function checkDocuments({ documents: operators, tenants }: Declared, report: Report): void {
  const lists: [readonly PropertyKey[], readonly string[]][] = [
    [['documents'], operators],
    ...Object.entries(tenants).map(([name, one]): [string[], string[]] => [
      ['tenants', name, 'documents'],
      one.documents,
    ]),
  ];
  for (const [path, files] of lists)
    for (const [at, file] of files.entries())
      if (!existsSync(join(checkout, file))) report([...path, at], `${file} does not exist`);
}

const schema = shape.check(({ value, issues }) => {
  const report: Report = (path, message) =>
    void issues.push({ code: 'custom', input: value, path: [...path], message });
  for (const check of [checkRoles, checkAddresses, checkCounts, checkDocuments]) check(value, report);
  try {
    bootOrder(value);
  } catch (error) {
    report(['roles'], error instanceof Error ? error.message : String(error));
  }
});

/** @throws Error with a line for each mistake, `✖ message → at path` */
export function checkCluster(value: unknown, origin: string): DeclaredCluster {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Error(`${origin} is not right:\n${z.prettifyError(parsed.error)}`);
  return { ...parsed.data, order: bootOrder(parsed.data) };
}

const declaredIn = 'nix/cluster/cluster.json';

/** @throws Error as `checkCluster` */
export const readCluster = (): DeclaredCluster =>
  checkCluster(JSON.parse(readFileSync(join(checkout, declaredIn), 'utf8')), declaredIn);

/** Nodes that run this program, as declared. */
export const nodesOf = ({ order }: DeclaredCluster, program: Program): string[] =>
  order.flatMap((group) => group.filter((one) => one.program === program).map((one) => one.node));

/** Nodes that hold this role, as declared. */
export const holdersOf = ({ nodes }: DeclaredCluster, held: string): string[] =>
  Object.entries(nodes).flatMap(([name, { roles }]) => (roles.includes(held) ? [name] : []));
