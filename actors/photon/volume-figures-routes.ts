/**
 * The figures of volumes between nodes: the route of a worker, and what a controller makes of it for `/metrics`. They
 * are read when they are asked for, and kept nowhere. Those of one volume are read by `actor.figures`, from the same
 * route.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { ClusterNodes } from '@photoncloud/runtime/control-api/node-methods';
import { z } from 'zod';
import { volumeFiguresPath, type StorageDataplane } from '../dataplane/contract/storage-contract.ts';

const answerMs = 2_000;
const listSchema = z.array(
  z.object({ volume: z.string(), uid: z.string(), figures: z.record(z.string(), z.number()) }),
);

/** `<path>` answers all volumes of the host; `<path><uid>` the figures of one, none when it is not here. */
export async function serveVolumeFigures(
  dataplane: Pick<StorageDataplane, 'readVolumeFigures'>,
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const uid = (request.url ?? '').slice(volumeFiguresPath.length);
  try {
    if (!/^[A-Z0-9]{0,40}$/.test(uid)) return void response.writeHead(404).end();
    const found = await dataplane.readVolumeFigures(uid === '' ? null : uid);
    const answer = uid === '' ? found : (found[0]?.figures ?? {});
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  } catch (error) {
    log.warn({ why: describeCause(error) }, 'the figures of volumes could not be read');
    response.writeHead(500).end();
  }
  return undefined;
}

interface Shown {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
}

/** By the field of the figures. */
const shown: Readonly<Record<string, Shown>> = {
  sizeBytes: { name: 'size_bytes', type: 'gauge', help: 'Size of the volume as a guest sees it.' },
  allocatedBytes: { name: 'allocated_bytes', type: 'gauge', help: 'Bytes that the volume takes on its host.' },
  readBytes: { name: 'read_bytes_total', type: 'counter', help: 'Read by the guest since its QEMU began.' },
  writtenBytes: { name: 'written_bytes_total', type: 'counter', help: 'Written by the guest since its QEMU began.' },
  readOperations: { name: 'reads_total', type: 'counter', help: 'Reads of the guest since its QEMU began.' },
  writeOperations: { name: 'writes_total', type: 'counter', help: 'Writes of the guest since its QEMU began.' },
  flushOperations: { name: 'flushes_total', type: 'counter', help: 'Flushes of the guest since its QEMU began.' },
};

/**
 * All volumes in the text format of Prometheus. A worker that does not answer in time is left out: whether it is alive
 * is a figure of its own.
 */
export async function volumeMetrics(
  nodes: ClusterNodes,
  read: (node: string, path: string, signal: AbortSignal) => Promise<string>,
): Promise<string> {
  const workers = nodes.list().filter(({ role, alive }) => role === 'worker' && alive);
  const answers = await Promise.allSettled(
    workers.map(async ({ node }) => {
      const found = listSchema.parse(JSON.parse(await read(node, volumeFiguresPath, AbortSignal.timeout(answerMs))));
      return found.map((one) => ({ ...one, node }));
    }),
  );
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const lines = Object.entries(shown).flatMap(([field, { name, type, help }]) => [
    `# HELP photon_volume_${name} ${help}`,
    `# TYPE photon_volume_${name} ${type}`,
    ...found.flatMap(({ figures, volume, uid, node }) => {
      const value = figures[field];
      const { tenant, name: named } = partsOfId(volume);
      const labels = Object.entries({ tenant, volume: named, uid, node }).map(
        ([label, text]) => `${label}=${JSON.stringify(text)}`,
      );
      return value === undefined ? [] : [`photon_volume_${name}{${labels.join(',')}} ${value}`];
    }),
  ]);
  return `${lines.join('\n')}\n`;
}
