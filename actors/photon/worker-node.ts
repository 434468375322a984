/** A worker node: hosts the pinned actors of its host and performs their effects. The only role that needs root. */
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { agentId, idOf } from '@photoncloud/machines/values/identifiers';
import { PhotonError, describeCause, reject } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { Host } from '@photoncloud/runtime/hosting/host';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { mayCommand } from '@photoncloud/runtime/transport/peer-identity';
import type { PeerLinks } from '@photoncloud/runtime/transport/peer-links';
import type { AgentPerformer } from '../agent/agent-effects.ts';
import { unusedTaps, withoutOwner } from '../agent/kept-objects.ts';
import { StrayBindings } from '../agent/stray-bindings.ts';
import type { Dataplane } from '../dataplane/contract/dataplane-contract.ts';
import { volumeFiguresPath } from '../dataplane/contract/storage-contract.ts';
import { serveVolumeFigures } from './volume-figures-routes.ts';
import { consolePath, guestPath } from '../dataplane/contract/incarnation-contract.ts';
import { incomingPath } from '../dataplane/contract/storage-contract.ts';
import { createDataplane } from '../dataplane/linux-dataplane.ts';
import { createRegistry } from '../registry.ts';
import { Announcements } from './announcements.ts';
import type { RolloutPort } from '../rollout/rollout-port.ts';
import { takeIncoming } from './incoming-bytes.ts';
import { emptyHost } from './fenced-host.ts';
import { serveGuest } from './guest-routes.ts';
import { joinAsMember, type MemberParts } from './member-node.ts';
import { AskedAgent, nixAgentPath } from './nix-agent/asked-agent.ts';
import { noDeployer, noHosts, noRollouts } from './no-dataplane.ts';
import type { NodeFolder } from './node-config.ts';
import type { NodeListeners } from './node-listeners.ts';
import type { RunningRole } from './node-process.ts';
import { findQemu } from './qemu-program.ts';
import { noExportKey, noMigrationKey, openNothing, openSeal } from './secret-seal.ts';

const blobPath = '/blobs/';
const snapshotPath = '/snapshots/';

export async function startWorker(
  folder: NodeFolder,
  log: Log,
  { listeners }: { readonly listeners: NodeListeners },
): Promise<RunningRole> {
  const { config } = folder;
  let links: PeerLinks | undefined;
  let nodeAddresses: MemberParts['nodeAddresses'] = () => [];
  const fetchFrom = (host: string, path: string, signal: AbortSignal): Promise<Readable> => {
    if (links === undefined)
      return Promise.reject(new PhotonError('fault', 'no_links', 'links to peers are not open yet'));
    return links.get(host, path, signal);
  };
  const storeAddresses = [config.store, ...config.store.sentinels].map(({ address }) => address);
  const seal = openSeal(folder.path);
  const dataplane = await createDataplane({
    prefix: config.kernelPrefix,
    cluster: config.cluster,
    host: config.node,
    folder: join(folder.path, 'host'),
    allowedRoots: config.allowedRoots,
    storage: config.storage,
    allowedSources: config.allowedSources,
    nodeAddresses: () => [config.address, ...storeAddresses, ...nodeAddresses()],
    guests: config.guests,
    imageOwnerUid: config.imageOwnerUid ?? null,
    underlay: config.address,
    qemu: findQemu(log),
    fetchBlob: (host, sha256, signal) => fetchFrom(host, `${blobPath}${sha256}`, signal),
    fetchSnapshot: (host, snapshotUid, signal) => fetchFrom(host, `${snapshotPath}${snapshotUid}`, signal),
    exportKey: (name) => (seal === undefined ? noExportKey() : seal.exportKey(name)),
    openSecret: (actor, sealed) => (seal === undefined ? openNothing(actor) : seal.open(actor, sealed)),
    migrationKey: (migration) => (seal === undefined ? noMigrationKey() : seal.migrationKey(migration)),
    log,
  });
  const announcements = new Announcements(systemClock, log);
  /** Called when the worker has its shard, also in each new era: the agent observes its host and reports it. */
  const announce = (host: Host, boot: string): Promise<void> =>
    announcements.tell(host, actorId(agentId(config.node)), { type: 'agent.boot', boot, host: config.node });
  const nixAgent = new AskedAgent(config.nixAgentFolder ?? join(folder.path, '../nix-agent'), config.node);
  let announced = (): void => {};
  const serving = new Promise<void>((resolve) => (announced = resolve));
  const member = await joinAsMember({
    folder,
    role: 'worker',
    listeners,
    log,
    onHostShard: (_, { host, boot }) => void announce(host, boot).then(announced),
    onBeat: (agoMs) =>
      void dataplane.beatReached(agoMs).catch((error: unknown) => {
        log.warn({ why: describeCause(error) }, 'the permit of the gateways could not be renewed; the next beat tries');
      }),
    onHostFenced: (reader) => emptyHost(config.node, dataplane, reader, log),
    registry: (parts) => {
      ({ links, nodeAddresses } = parts);
      const follow: RolloutPort['follow'] = (ask, signal) => nixAgent.follow(ask, signal);
      const rollouts = { follow, reach: noRollouts.reach };
      return createRegistry(dataplane, agentPerformer(folder, dataplane, parts), noHosts, noDeployer, rollouts);
    },
    posts: {
      [incomingPath]: (request, response) => void takeIncoming(dataplane, config.node, request, response, log),
    },
    routes: {
      [consolePath]: (request, response) =>
        void serveConsole(dataplane, config.node, (request.url ?? '').slice(consolePath.length), response, log),
      [guestPath]: ({ url = '' }, response) =>
        void serveGuest(dataplane, incarnationOf(url.slice(guestPath.length), config.node), response, log),
      [nixAgentPath]: (request, response) => nixAgent.serve((request.url ?? '').slice(nixAgentPath.length), response),
      [blobPath]: (request, response) =>
        void serveFile(() => openBlob(dataplane, (request.url ?? '').slice(blobPath.length)), response, log),
      [volumeFiguresPath]: (request, response) => void serveVolumeFigures(dataplane, request, response, log),
      [snapshotPath]: (request, response) =>
        void serveFile(() => dataplane.openSnapshot((request.url ?? '').slice(snapshotPath.length)), response, log),
    },
    streams: {
      [consolePath]: async (path, peer) => {
        const incarnation = incarnationOf(path.slice(consolePath.length), config.node);
        // Only controllers ask for tenants whose token they have seen.
        if (incarnation === undefined || !mayCommand(peer)) throw reject('console_absent', 'there is no such console');
        return await dataplane.openConsole(incarnation);
      },
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

type Seeing = Pick<MemberParts, 'reader' | 'assureStore'>;

function agentPerformer(folder: NodeFolder, dataplane: Dataplane, { reader, assureStore }: Seeing): AgentPerformer {
  const { config } = folder;
  const strayBindings = new StrayBindings(config.node, reader, () => performance.now());
  return {
    async observe(call) {
      const facts = await dataplane.observeHost(call);
      return { ...facts, peerUrl: `https://${config.address}:${config.peerListenPort}` };
    },
    readDisk: () => dataplane.readDisk(),
    readInventory: async () => ({ ...(await dataplane.readInventory()), kept: await withoutOwner(dataplane, reader) }),
    readDescriptors: () => dataplane.readDescriptors(),
    freeOf: async (kept) => {
      const freed = await unusedTaps(config.node, kept, dataplane, reader);
      if (freed.length > 0) await assureStore();
      return freed;
    },
    pause: async (ms, signal) => await pause(ms, undefined, { signal }),
    readStrayBindings: async () => {
      const found = await strayBindings.find();
      // After a store rollback, a port may be missing that was not read as it is now.
      if (found.length > 0) await assureStore();
      return found;
    },
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

type Opened = ReturnType<Dataplane['openBlob']>;

function openBlob(dataplane: Dataplane, sha256: string): Opened {
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new PhotonError('rejection', 'not_found', 'no such blob');
  return dataplane.openBlob(sha256);
}

/** Sends a file to another worker; the peer server has checked the caller's certificate. */
async function serveFile(open: () => Opened, response: ServerResponse, log: Log): Promise<void> {
  try {
    const { stream, sizeBytes } = await open();
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': sizeBytes });
    await pipeline(stream, response);
  } catch (error) {
    log.warn({ why: describeCause(error) }, 'a file could not be served to another host');
    if (response.headersSent) response.destroy();
    else response.writeHead(404).end();
  }
}

/** @param vm `<tenant>/<name>` @returns the actor id of its incarnation here */
function incarnationOf(vm: string, node: string): string | undefined {
  const [, tenant, name] = /^([a-z0-9-]{1,63})\/([a-z0-9.-]{1,63})$/.exec(vm) ?? [];
  return tenant === undefined || name === undefined ? undefined : idOf('incarnation', tenant, name, node);
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
    const incarnation = incarnationOf(vm, node);
    if (incarnation === undefined) return void response.writeHead(404).end();
    const text = await dataplane.readConsole(incarnation);
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(text);
  } catch (error) {
    log.warn({ vm, why: describeCause(error) }, 'a console could not be read');
    response.writeHead(500).end();
  }
  return undefined;
}
