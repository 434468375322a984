/**
 * The address of the inspector for a person on this machine: the relay's, with a secret that a browser trades once
 * for a session. Made through the control API like everything else.
 */
import { readFileSync } from 'node:fs';
import type { PhotonCluster } from './cluster-launch.ts';
import { openApi } from './api-session.ts';

/** Time a person has to open the link, ms. */
const secretTtlMs = 15 * 60_000;

export async function inspectorUrl(cluster: PhotonCluster): Promise<string> {
  const { token } = JSON.parse(readFileSync(cluster.clientFile, 'utf8')) as { token: string };
  const client = await openApi(cluster.relay, token);
  try {
    const { secret } = (await client.call('auth.secret', { ttlMs: secretTtlMs })) as { secret: string };
    return `http://${cluster.relay}/open#${secret}`;
  } finally {
    client.close();
  }
}
