/**
 * What the guest of a VM says of itself, between nodes: the route of a worker, which `actor.figures` reads when
 * somebody asks. Called by worker-node.ts.
 */
import type { ServerResponse } from 'node:http';
import type { Fact } from '@photoncloud/runtime/contract/actor-definition';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { GuestReading, IncarnationDataplane } from '../dataplane/contract/incarnation-contract.ts';

/** @param incarnation actor id; undefined: the path named none */
export async function serveGuest(
  dataplane: Pick<IncarnationDataplane, 'readGuest'>,
  incarnation: string | undefined,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  try {
    if (incarnation === undefined) return void response.writeHead(404).end();
    const facts = guestFacts(await dataplane.readGuest(incarnation));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(facts));
  } catch (error) {
    log.warn({ incarnation, why: describeCause(error) }, 'a guest could not be asked');
    response.writeHead(500).end();
  }
  return undefined;
}

/** What is not known is left out. */
export function guestFacts({ answers, system, kernel, hostName, interfaces }: GuestReading): readonly Fact[] {
  const known = (name: string, value: string | null): readonly Fact[] =>
    value === null ? [] : [{ name, values: [value] }];
  return [
    { name: 'guest agent', values: [answers ? 'answers' : 'does not answer'] },
    ...known('system', system),
    ...known('kernel', kernel),
    ...known('host name', hostName),
    ...(interfaces ?? []).map(({ name, mac, addresses }) => ({
      name: `interface ${name}`,
      values: [...(mac === null ? [] : [mac]), ...addresses],
    })),
  ];
}
