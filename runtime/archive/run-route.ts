/**
 * How nodes read each other's archives: `GET /history/<chunk>/<offset>/<line>` on the peer server, which requires a
 * certificate of the cluster. The response is the run as it was written, or the word `damaged` and the reason. The
 * composition root mounts the route and passes in the client (`PeerLinks.get`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { PhotonError, describeCause } from '../contract/errors.ts';
import type { RunPlace } from './history-run.ts';
import { readRunLine } from './chunk-reader.ts';

export const runPath = '/history/';
const damagedWord = 'damaged ';

/**
 * @param node the name of this node @param folder of its archive
 * @returns a handler of paths below `runPath`: 200 with the run or the damage, 404 for other paths, 500 on a disk error
 */
export function createRunRoute(node: string, folder: string) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const match = /^(\d{1,10})\/(\d{1,15})\/(\d{1,9})$/.exec((request.url ?? '').slice(runPath.length));
    if (match === null) return void response.writeHead(404).end();
    const [chunk, offset, line] = match.slice(1).map(Number) as [number, number, number];
    let body: string;
    try {
      body = await readRunLine(folder, { node, chunk, offset, line });
    } catch (error) {
      if (!(error instanceof PhotonError)) return void response.writeHead(500).end();
      body = `${damagedWord}${error.record.message}`;
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    return undefined;
  };
}

/** @param get the body of a GET on another node; rejects when it cannot be reached, or answers with an error */
export function createRunFetch(get: (node: string, path: string) => Promise<Readable>) {
  return async ({ node, chunk, offset, line }: RunPlace): Promise<string> => {
    let body: string;
    try {
      body = await text(await get(node, `${runPath}${chunk}/${offset}/${line}`));
    } catch (cause) {
      throw new PhotonError(
        'fault',
        'archive_unreachable',
        `a part of this history is in the archive of node ${node}, which cannot be read now ` +
          `(${describeCause(cause)}); check that the node runs and ask again`,
        { cause, public: true },
      );
    }
    if (!body.startsWith(damagedWord)) return body;
    throw new PhotonError('defeat', 'archive_damaged', body.slice(damagedWord.length), { public: true });
  };
}
