/**
 * The flows of a VPC namespace as conntrack tracks them: lists them and ends some. Called by flow-review.ts, for what
 * security groups no longer admit, and by service-ip/service-flows.ts, for backends that serve no longer.
 * Promise: with nf_conntrack_tcp_loose=0 no packet of an ended tcp flow passes any more.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { OpeningPacket } from '@photoncloud/machines/values/group-rules';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError } from '../kernel-errors.ts';
import { runProgram } from '../program.ts';

/** A table of a quarter of a million flows, the most that a kernel keeps by default, has about half of it. */
const outputCapBytes = 128 << 20;

export interface FlowPlace {
  readonly site: DataplaneSite;
  readonly namespace: string;
}

const tuple = String.raw`src=(\S+) dst=(\S+)(?: sport=(\d+) dport=(\d+))?(?: type=(\d+) code=(\d+))?`;
/** Of `conntrack -L`: protocol number first, then what the opening packet had, then what its answers have. */
const flowLine = new RegExp(String.raw`^\S+\s+(\d+) .*?${tuple}(?: id=\d+)?(?: \[UNREPLIED\])? ${tuple}`);

/** A flow that was led to a backend answers from another address or port than it was sent to. */
export function flowOf(line: string): OpeningPacket | undefined {
  const found = flowLine.exec(line);
  if (found === null) return undefined;
  const [, protocol, source = '', sentTo = '', , sentPort, type, code, answers = '', , answerPort] = found;
  const isLed = sentPort !== undefined && (answers !== sentTo || answerPort !== sentPort);
  const port = isLed ? answerPort : sentPort;
  return {
    source,
    destination: isLed ? answers : sentTo,
    protocol: Number(protocol),
    ...(port === undefined ? {} : { destinationPort: Number(port) }),
    ...(type === undefined ? {} : { icmp: { type: Number(type), code: Number(code) } }),
    ...(isLed ? { service: { address: sentTo, port: Number(sentPort) } } : {}),
  };
}

/** @param filter of conntrack: `--dst-nat` */
export async function listFlows(
  { site, namespace }: FlowPlace,
  ...filter: readonly string[]
): Promise<readonly OpeningPacket[]> {
  if ((await site.links.of(namespace).trackedFlows()) === 0) return [];
  const { stdout } = await runProgram({
    program: 'nsenter',
    args: [`--net=/run/netns/${namespace}`, 'conntrack', '-L', '-f', 'ipv4', ...filter],
    what: `reading the flows of ${namespace}`,
    outputCapBytes,
  });
  return stdout.split('\n').flatMap((line) => flowOf(line) ?? []);
}

/** What conntrack is to delete. */
type Pattern = (flow: OpeningPacket) => string;

const ends: Readonly<Record<'from' | 'to' | 'service', Pattern>> = {
  from: ({ source }) => ` -s ${source}`,
  to: ({ destination, service }) =>
    service === undefined ? ` -d ${destination}` : ` -d ${service.address} -r ${destination}`,
  service: ({ protocol, destinationPort, icmp, service }) => {
    const port = service?.port ?? destinationPort;
    return [
      ` -p ${protocol}`,
      port === undefined ? '' : ` --dport ${port}`,
      service === undefined ? '' : ` --reply-port-src ${destinationPort}`,
      icmp === undefined ? '' : ` --icmp-type ${icmp.type} --icmp-code ${icmp.code}`,
    ].join('');
  },
};

/** One flow, whatever its source port. */
export const flowPattern: Pattern = (flow) => ends.from(flow) + ends.to(flow) + ends.service(flow);
/** All flows to the same port of the same receiver. */
export const receiverPattern: Pattern = (flow) => ends.to(flow) + ends.service(flow);

/** Rules judge all flows alike that one of these names: only the source port differs. */
export const flowPatterns: readonly Pattern[] = [
  ends.from,
  ends.to,
  receiverPattern,
  (flow) => ends.from(flow) + ends.service(flow),
  (flow) => ends.from(flow) + ends.to(flow),
  flowPattern,
];

type Cause = 'groups' | 'services';
const flowFile = (site: DataplaneSite, namespace: string, cause: Cause): string =>
  path.join(site.folders.run, `${namespace}.${cause}`);

/** What a worker that died while it ended flows has left. */
export async function forgetFlowFiles({ site, namespace }: FlowPlace): Promise<void> {
  for (const cause of ['groups', 'services'] as const) await rm(flowFile(site, namespace, cause), { force: true });
}

/**
 * @param patterns of `flowPatterns` @param cause one at a time ends flows for it in a namespace; the list is a file:
 * conntrack opens its standard input by name, which a socket does not allow
 */
export async function endFlows(
  { site, namespace }: FlowPlace,
  cause: Cause,
  what: string,
  patterns: readonly string[],
): Promise<void> {
  if (patterns.length === 0) return;
  const file = flowFile(site, namespace, cause);
  try {
    await mkdir(site.folders.run, { recursive: true });
    await writeFile(file, patterns.map((one) => `-D -f ipv4${one}\n`).join(''));
    await runProgram({
      program: 'nsenter',
      args: [`--net=/run/netns/${namespace}`, 'conntrack', '-R', file],
      what,
      timeoutMs: 60_000,
      outputCapBytes,
      // 1: there was none any more.
      acceptedCodes: [1],
    });
  } catch (error) {
    throw fileError(what, error);
  } finally {
    await rm(file, { force: true });
  }
}
