/** Steps whose answers are long in coming; what they do to real objects is in cli/deploy-commands.test.ts. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { DeployerPort } from './deployer-port.ts';
import { carryOut } from './plan-steps.ts';

test('a step whose key has become too old goes on with a new one, and the version that it has read', async () => {
  const sent: (readonly [key: string, version: number | undefined])[] = [];
  let nowMs = 1_000;
  const port: Pick<DeployerPort, 'read' | 'command' | 'now' | 'pause'> = {
    read: () => Promise.resolve(undefined),
    command: ({ idempotencyKey, ifVersion }) => {
      sent.push([idempotencyKey, ifVersion]);
      nowMs += 60_000;
      if (sent.length === 1) return Promise.reject(new PhotonError('unknown', 'no_answer', 'nobody answers'));
      if (sent.length === 2) return Promise.reject(new PhotonError('unknown', 'command_too_old', 'read the object'));
      return Promise.reject(new PhotonError('rejection', 'quota_used_up', 'no more ports'));
    },
    now: () => nowMs,
    pause: () => Promise.resolve(),
  };
  const id = 'port/acme/web';
  const revision = { digest: 'd', parts: 1, tenants: 'own', objects: 1 } as const;
  const order = { deployment: 'deployment/acme/shop', revision, prune: false, adopt: false, readyWithinS: 5 };
  const object = { kind: 'port', tenant: 'acme', name: 'web', spec: {}, labels: {}, protect: false };
  const steps = [{ step: 0, id, action: 'create', base: null }] as const;
  const carrying = {
    port,
    order,
    key: '1000-U',
    objects: new Map([[id, object]]),
    signal: new AbortController().signal,
  };
  const [result] = await carryOut(carrying as unknown as Parameters<typeof carryOut>[0], steps);
  assert.equal(sent, [
    ['1000-U.0.0', 0],
    ['1000-U.0.0', 0],
    ['121000-1000-U.0.0', 0],
  ]);
  assert.equal(result, { step: 0, result: 'refused', reason: 'no more ports' });
});

test.run();
