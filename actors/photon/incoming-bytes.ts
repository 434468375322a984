/**
 * Bytes of an upload on their way from a controller to the worker that keeps them: the request of the one, and the
 * route of the other. One chunk a request, answered when it is written. The refusal of a worker reaches the client as
 * it is.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { idOf } from '@photoncloud/machines/values/identifiers';
import type { OutputPlace } from '@photoncloud/runtime/contract/actor-definition';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { PeerLinks } from '@photoncloud/runtime/transport/peer-links';
import { z } from 'zod';
import { incomingPath } from '../dataplane/contract/storage-contract.ts';
import type { Dataplane } from '../dataplane/contract/dataplane-contract.ts';

const chunkLimitBytes = 131_072;

const answerSchema = z.union([
  z.object({ receivedBytes: z.int(), totalBytes: z.int().nullable(), isWhole: z.boolean() }),
  z.object({ group: z.enum(['fault', 'defeat']), code: z.string(), message: z.string() }),
]);

/** @throws what the worker refused; PhotonError fault `peer_unreachable` and alike */
export async function sendIncoming(links: PeerLinks, place: OutputPlace, offset: number, bytes: Buffer) {
  const answer = answerSchema.parse(JSON.parse(await links.post(place.node, `${place.path}?offset=${offset}`, bytes)));
  if (!('code' in answer)) return answer;
  const { group, code, message } = answer;
  // What may pass is a rejection that says so, or the client would take it for a lost answer.
  throw new PhotonError('rejection', code, message, { public: true, retryable: group === 'fault' });
}

/** The route of a worker; the peer server has checked the caller's certificate. */
export async function takeIncoming(
  dataplane: Dataplane,
  node: string,
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const form = new RegExp(`^${incomingPath}([a-z0-9-]{1,63})/([a-z0-9.-]{1,130})\\?offset=(\\d{1,15})$`);
  const [, tenant, name, offset] = form.exec(request.url ?? '') ?? [];
  try {
    const bytes = await readBody(request);
    if (tenant === undefined || name === undefined || bytes === undefined) return void response.writeHead(400).end();
    const gathered = await dataplane.putGathered(idOf('image-copy', tenant, name, node), Number(offset), bytes);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(gathered));
  } catch (error) {
    log.info({ tenant, name, why: describeCause(error) }, 'bytes of a client were not taken');
    if (response.destroyed) return undefined;
    if (!(error instanceof PhotonError)) return void response.writeHead(500).end();
    const { group, code, message } = error.record;
    const said = { group: group === 'defeat' ? group : 'fault', code, message };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said));
  }
  return undefined;
}

/** Undefined when there is more than one chunk. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request) {
    size += (piece as Buffer).length;
    if (size > chunkLimitBytes) return undefined;
    pieces.push(piece as Buffer);
  }
  return Buffer.concat(pieces);
}
