/** A server with the inspector's routes for sample machines, for tests and for viewing the pages. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { AnyStateMachine } from 'xstate';
import { z } from 'zod';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import type { Log } from '../contract/log.ts';
import { createInspectorRoutes } from './inspector-routes.ts';
import { hostileMachine, jobMachine, meshMachine } from './sample-machines-for-tests.ts';

export const quietLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog };

const effectTypes = [
  'slot.make',
  'image.fetch',
  'process.start',
  'process.stop',
  'process.watch',
  'migration.copy',
  'migration.switch',
  'segment.ensure',
];

export function sampleDefinition(kind: string, machine: AnyStateMachine): ActorDefinition {
  const perform = async (): Promise<never> => {
    throw new Error('the samples perform nothing');
  };
  return {
    kind,
    chartVersion: 1,
    machine,
    placement: 'sharded',
    input: (id) => ({ id }),
    commands: { create: { params: z.strictObject({}), permission: 'scope', creates: true, description: 'Makes one.' } },
    createdBy: [],
    effects: Object.fromEntries(effectTypes.map((type) => [type, { perform, timeoutMs: 1000 }])),
    view: () => ({ spec: {}, status: {} }),
  };
}

export const sampleRegistry: ActorRegistry = {
  kinds: new Map([
    ['job', sampleDefinition('job', jobMachine)],
    ['mesh', sampleDefinition('mesh', meshMachine)],
    ['hostile', sampleDefinition('hostile', hostileMachine)],
  ]),
};

export async function startSampleServer(cacheFolder: string): Promise<{ url: string; close: () => Promise<void> }> {
  const entry = join(import.meta.dirname, 'sample-page-for-tests.ts');
  const routes = createInspectorRoutes({
    registry: sampleRegistry,
    cacheFolder,
    log: quietLog,
    title: 'sample <cloud>',
    entry,
  });
  const server: Server = createServer((request, response) => {
    if (routes(request, response)) return;
    response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: listenPort } = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return { url: `http://127.0.0.1:${listenPort}`, close };
}
