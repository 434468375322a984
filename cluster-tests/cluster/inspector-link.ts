/**
 * The URL of the inspector for a person on this machine: the relay's address with a secret that a browser exchanges
 * once for a session. The secret is made through the control API.
 */
import type { PhotonCluster } from './cluster-launch.ts';
import { openApi, tokenOf } from './api-session.ts';

/** Time in which the link must be opened, ms. */
const secretTtlMs = 15 * 60_000;

export async function inspectorUrl(cluster: PhotonCluster): Promise<string> {
  const token = tokenOf(cluster.clientFile);
  const client = await openApi(cluster.relay, token);
  try {
    const { secret } = (await client.call('auth.secret', { ttlMs: secretTtlMs })) as { secret: string };
    return `http://${cluster.relay}/open#${secret}`;
  } finally {
    client.close();
  }
}
