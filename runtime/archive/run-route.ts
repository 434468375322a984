/**
 * How nodes read each other's archives: `GET /history/<segment>/<offset>/<line>` on the peer server, only from a
 * certificate of the cluster. The answer is the run as it was written; what is damaged here is said to be so. Mounted
 * by the composition root, which also hands in how a peer is asked.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { PhotonError, describeCause, type ErrorRecord } from '../contract/errors.ts';
import type { RunPlace } from './history-run.ts';
import { readRunLine } from './segment-reader.ts';

export const runPath = '/history/';

export function createRunRoute(node: string, folder: string) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const match = /^(\d{1,10})\/(\d{1,15})\/(\d{1,9})$/.exec((request.url ?? '').slice(runPath.length));
    if (match === null) return void response.writeHead(404).end();
    const [segment, offset, line] = match.slice(1).map(Number) as [number, number, number];
    try {
      const run = await readRunLine(folder, { node, segment, offset, line });
      response.writeHead(200, { 'content-type': 'application/json' }).end(run);
    } catch (error) {
      const record = error instanceof PhotonError ? error.record : undefined;
      response.writeHead(record === undefined ? 500 : 410, { 'content-type': 'application/json' });
      response.end(JSON.stringify(record ?? {}));
    }
    return undefined;
  };
}

/** @param get a GET on another node; rejects when it cannot be reached */
export function createRunFetch(get: (node: string, path: string) => Promise<IncomingMessage>) {
  return async ({ node, segment, offset, line }: RunPlace): Promise<string> => {
    try {
      const answer = await get(node, `${runPath}${segment}/${offset}/${line}`);
      const body = await text(answer);
      if (answer.statusCode === 200) return body;
      if (answer.statusCode === 410) throw told(JSON.parse(body) as ErrorRecord);
      throw new Error(`it answered ${answer.statusCode}`);
    } catch (cause) {
      if (cause instanceof PhotonError && cause.record.code === 'archive_damaged') throw cause;
      throw new PhotonError(
        'fault',
        'archive_unreachable',
        `a piece of this history is in the archive of node ${node}, which cannot be read now ` +
          `(${describeCause(cause)}); see that the node runs and ask again`,
        { cause, public: true },
      );
    }
  };
}

const told = ({ message }: ErrorRecord): PhotonError =>
  new PhotonError('defeat', 'archive_damaged', message, { public: true });
