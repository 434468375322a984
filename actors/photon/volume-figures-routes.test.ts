/** Figures of volumes between nodes: what a worker answers, and what `/metrics` makes of the answers of all. */
import type { IncomingMessage } from 'node:http';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterNodes } from '@photoncloud/runtime/control-api/node-methods';
import { quietLog } from '../dataplane/dataplane-for-tests.ts';
import { httpAnswer } from './http-answer-for-tests.ts';
import { serveVolumeFigures, volumeMetrics } from './volume-figures-routes.ts';

const data = { volume: 'volume/acme/data', uid: 'U1', figures: { allocatedBytes: 4096 } };
const nodes = {
  list: () =>
    ['w1', 'w2', 'w3', 'w4', 'c1'].map((node) => ({
      node,
      role: node === 'c1' ? 'controller' : 'worker',
      alive: node !== 'w4',
    })),
} as unknown as ClusterNodes;

test('the figures of all workers are metrics; one that is silent or answers nonsense is left out', async () => {
  const answers: Readonly<Record<string, string>> = {
    w1: JSON.stringify([data]),
    w2: JSON.stringify([{ ...data, figures: { readBytes: 7, ofLater: 1 } }]),
    w3: '[{"volume":"volume/acme/data"}]',
  };
  const asked: string[] = [];
  const text = await volumeMetrics(nodes, async (node, path) => {
    asked.push(`${node}${path}`);
    return answers[node] ?? '';
  });
  assert.equal(asked, ['w1/figures/volumes/', 'w2/figures/volumes/', 'w3/figures/volumes/']);
  const values = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  assert.equal(values, [
    'photon_volume_allocated_bytes{tenant="acme",volume="data",uid="U1",node="w1"} 4096',
    'photon_volume_read_bytes_total{tenant="acme",volume="data",uid="U1",node="w2"} 7',
  ]);
  assert.match(text, /# TYPE photon_volume_read_bytes_total counter\n/);
});

test('a worker answers all volumes, or the figures of one, and nothing of a path that is none', async () => {
  const asked: (string | null)[] = [];
  const ask = async (url: string): Promise<readonly [number, string]> => {
    const { response, read } = httpAnswer();
    const readVolumeFigures = async (uid: string | null) => {
      asked.push(uid);
      return uid === 'U2' ? [] : [data];
    };
    const request = { url } as IncomingMessage;
    await serveVolumeFigures({ readVolumeFigures }, request, response, quietLog);
    return read();
  };
  assert.equal(await ask('/figures/volumes/'), [200, JSON.stringify([data])]);
  assert.equal(await ask('/figures/volumes/U1'), [200, '{"allocatedBytes":4096}']);
  assert.equal(await ask('/figures/volumes/U2'), [200, '{}']);
  assert.equal(await ask('/figures/volumes/../../etc'), [404, '']);
  assert.equal(asked, [null, 'U1', 'U2']);
});

test.run();
