/**
 * A connection of the typed client to a cluster of this machine, over its relay. It adds nothing to the client.
 * Called by the demo, tests and the bench.
 */
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';

/** @param relay `127.0.0.1:<TCP port>`; @param token a client file's. */
export async function openApi(relay: string, token: string): Promise<PhotonClient> {
  return await connectPhoton({ url: `ws://${relay}/api`, token, openSocket: nodeSocketFactory({}) });
}

/** Params of a command: a spec where an object is declared, what is given for any other verb. */
export const asParams = (method: string, given: unknown): unknown =>
  /(^|\.)(create|update|apply)$/.test(method) ? { spec: given } : given;
