/** A worker node: hosts the pinned actors of its host and performs their effects. The only role that needs root. */
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { agentId, idOf } from '@photoncloud/machines/values/identifiers';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { Host } from '@photoncloud/runtime/hosting/host';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { RedisReader } from '@photoncloud/runtime/journal/redis-reader';
import type { PeerLinks } from '@photoncloud/runtime/transport/peer-links';
import type { AgentPerformer } from '../agent/agent-effects.ts';
import type { Dataplane } from '../dataplane/contract/dataplane-contract.ts';
import { consolePath } from '../dataplane/contract/incarnation-contract.ts';
import { createDataplane } from '../dataplane/linux-dataplane.ts';
import { createRegistry } from '../registry.ts';
import { emptyHost } from './fenced-host.ts';
import { joinAsMember, type MemberParts } from './member-node.ts';
import { noHosts } from './no-dataplane.ts';
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
    imageOwnerUid: config.imageOwnerUid ?? null,
    underlay: config.address,
    qemu: findQemu(log),
    fetchBlob: (host, sha256, signal) => {
      if (links === undefined)
        return Promise.reject(new PhotonError('fault', 'no_links', 'links to peers are not open yet'));
      return links.get(host, `${blobPath}${sha256}`, signal);
    },
    log,
  });
  let announced = (): void => {};
  const serving = new Promise<void>((resolve) => (announced = resolve));
  const member = await joinAsMember({
    folder,
    role: 'worker',
    log,
    onHostShard: (_, { host, boot }) => void announce(host, folder, boot).then(announced),
    onHostFenced: (reader) => emptyHost(config.node, dataplane, reader, log),
    registry: (parts) => {
      ({ links } = parts);
      return createRegistry(dataplane, agentPerformer(folder, dataplane, parts), noHosts);
    },
    routes: {
      [consolePath]: (request, response) =>
        void serveConsole(dataplane, config.node, (request.url ?? '').slice(consolePath.length), response, log),
      [blobPath]: (request, response) =>
        void serveBlob(dataplane, (request.url ?? '').slice(blobPath.length), response, log),
    },
  });
  await Promise.race([serving, member.failed]);
  return {
    ended: member.failed,
    async stop() {
      await member.stop();
      await dataplane.close();
    },
  };
}

/** Called when the worker has its shard, also in each new era: the agent observes its host and reports it. */
const announce = (host: Host, { config: { node } }: NodeFolder, boot: string): Promise<void> =>
  host.tell(actorId(agentId(node)), { type: 'agent.boot', boot, host: node });

type Seeing = Pick<MemberParts, 'reader' | 'assureStore'>;

function agentPerformer(folder: NodeFolder, dataplane: Dataplane, { reader, assureStore }: Seeing): AgentPerformer {
  const { config } = folder;
  return {
    async observe(call) {
      const facts = await dataplane.observeHost(call);
      return { ...facts, peerUrl: `https://${config.address}:${config.peerListenPort}` };
    },
    readDisk: () => dataplane.readDisk(),
    readInventory: async () => ({ ...(await dataplane.readInventory()), kept: await withoutOwner(dataplane, reader) }),
    readDescriptors: () => dataplane.readDescriptors(),
    sweep: (kept, call) =>
      dataplane.sweep(
        {
          kept,
          // Called after the objects were listed. An object is made only after its owner was committed, so the owner of
          // every listed object is in the store, if it has one.
          owners: async () => {
            const items = await reader.onHost(config.node);
            // After a store rollback, owners may be missing from the list; their objects must not be removed.
            await assureStore();
            call.signal.throwIfAborted();
            return items.map((item) => item.id);
          },
        },
        call,
      ),
  };
}

/** Names of objects on this host whose owner mark fits no actor in the store with the same uid and run epoch. */
async function withoutOwner(dataplane: Dataplane, reader: RedisReader): Promise<string[]> {
  const names: string[] = [];
  for (const { name, owner } of await dataplane.residue()) {
    const stored = owner === null ? undefined : await reader.get(actorId(owner.actor));
    const spec = stored?.status === 'live' ? (stored.context as { spec?: { owner?: OwnerToken } | null }).spec : null;
    if (owner === null || spec?.owner?.uid !== owner.uid || spec.owner.runEpoch !== owner.runEpoch) names.push(name);
  }
  return names;
}

/** Sends an image copy to another worker; the peer server has checked the caller's certificate. */
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

/** Sends a controller what the guest of a VM printed. @param vm `<tenant>/<name>` */
async function serveConsole(
  dataplane: Dataplane,
  node: string,
  vm: string,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  try {
    const [, tenant, name] = /^([a-z0-9-]{1,63})\/([a-z0-9.-]{1,63})$/.exec(vm) ?? [];
    if (tenant === undefined || name === undefined) return void response.writeHead(404).end();
    const text = await dataplane.readConsole(idOf('incarnation', tenant, name, node));
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(text);
  } catch (error) {
    log.warn({ vm, why: describeCause(error) }, 'a console could not be read');
    response.writeHead(500).end();
  }
  return undefined;
}
