/** A worker node: the pinned actors of its host and their dataplane. The only role that needs privileges. */
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { agentId } from '@photoncloud/machines/values/identifiers';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { RedisReader } from '@photoncloud/runtime/journal/redis-reader';
import type { PeerLinks } from '@photoncloud/runtime/transport/peer-links';
import type { AgentDoings } from '../agent/agent-effects.ts';
import type { Dataplane } from '../dataplane/contract/dataplane-contract.ts';
import { createDataplane } from '../dataplane/linux-dataplane.ts';
import { createRegistry } from '../registry.ts';
import { joinAsMember } from './member-node.ts';
import type { NodeFolder } from './node-config.ts';
import type { RunningRole } from './node-process.ts';
import { findQemu } from './qemu-program.ts';

const blobPath = '/blobs/';

export async function startWorker(folder: NodeFolder, log: Log): Promise<RunningRole> {
  const { config } = folder;
  let links: PeerLinks | undefined;
  const dataplane = await createDataplane({
    prefix: config.kernelPrefix,
    cluster: config.cluster,
    host: config.node,
    folder: join(folder.path, 'host'),
    allowedRoots: config.allowedRoots,
    underlay: config.address,
    qemu: findQemu(),
    fetchBlob: (host, sha256, signal) => {
      if (links === undefined)
        return Promise.reject(new PhotonError('fault', 'no_links', 'links to peers are not open yet'));
      return links.get(host, `${blobPath}${sha256}`, signal);
    },
    log,
  });
  const member = await joinAsMember({
    folder,
    role: 'worker',
    log,
    registry: (parts) => {
      ({ links } = parts);
      return createRegistry(dataplane, agentDoings(folder, dataplane, parts.reader));
    },
    routes: {
      [blobPath]: (request, response) =>
        void serveBlob(dataplane, (request.url ?? '').slice(blobPath.length), response, log),
    },
  });
  await member.host.tell(actorId(agentId(config.node)), { type: 'agent.boot', boot: member.boot, host: config.node });
  return {
    ended: member.failed,
    async stop() {
      await member.stop();
      await dataplane.close();
    },
  };
}

function agentDoings(folder: NodeFolder, dataplane: Dataplane, reader: RedisReader): AgentDoings {
  const { config } = folder;
  return {
    async observe(call) {
      const facts = await dataplane.observeHost(call);
      return { ...facts, peerUrl: `https://${config.address}:${config.peerListenPort}` };
    },
    sweep: (call) =>
      dataplane.sweep(
        {
          // Asked after the objects were listed: an object exists only once its owner is committed, so none is missed.
          owners: async () => (await reader.list({ host: config.node })).items.map((item) => item.id),
        },
        call,
      ),
  };
}

/** An image copy for another worker; the caller has shown a certificate of the cluster. */
async function serveBlob(dataplane: Dataplane, sha256: string, response: ServerResponse, log: Log): Promise<void> {
  try {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new PhotonError('rejection', 'not_found', 'no such blob');
    const { stream, sizeBytes } = await dataplane.openBlob(sha256);
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': sizeBytes });
    await pipeline(stream, response);
  } catch (error) {
    log.warn({ sha256: sha256.slice(0, 64), why: describeCause(error) }, 'an image copy could not be served');
    if (response.headersSent) response.destroy();
    else response.writeHead(404).end();
  }
}
