/**
 * Connections of the typed client to a cluster of this machine, over its relay or a controller's socket. They add
 * nothing to the client. Called by the demo, tests and the bench.
 */
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';

/** The token of a client file. */
export const tokenOf = (file: string): string => (JSON.parse(readFileSync(file, 'utf8')) as { token: string }).token;

/** @param relay `127.0.0.1:<TCP port>`; @param token a client file's. */
export async function openApi(relay: string, token: string): Promise<PhotonClient> {
  return await connectPhoton({ url: `ws://${relay}/api`, token, openSocket: nodeSocketFactory({}) });
}

/** Params of a command: a spec where an object is declared, what is given for any other verb. */
export const asParams = (method: string, given: unknown): unknown =>
  /(^|\.)(create|update|apply)$/.test(method) ? { spec: given } : given;

/** A session with the controller that has this socket. @param token a client file's. */
export async function openSession(socketPath: string, token: string): Promise<PhotonClient> {
  return await connectPhoton({ url: 'ws://localhost/api', token, openSocket: nodeSocketFactory({ socketPath }) });
}

/** Whether the controller with this socket says that it can serve. */
export async function canServe(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const request = get({ socketPath, path: '/readyz', timeout: 5_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    // It may be starting, or stopped with its socket open.
    request.on('error', () => resolve(false)).on('timeout', () => request.destroy());
  });
}
