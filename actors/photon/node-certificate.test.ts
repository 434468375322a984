// test limit: 60 s
/** The certificate of a running node: which files it takes up, which it refuses, and when it asks to be renewed. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Clock } from '@photoncloud/runtime/contract/clock';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { processClock, recordedLog } from '@photoncloud/runtime/journal/redis-for-tests';
import { issueCertificate, makeAuthority } from './certificate-authority.ts';
import { certificateCondition, isRenewalDue, NodeCertificate } from './node-certificate.ts';

const dayMs = 86_400_000;

test('a renewed pair is taken up; one of another node, key or authority, or of the past, is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'photon-certificate-test-'));
  const place = (name: string): string => {
    mkdirSync(join(folder, name), { recursive: true });
    return join(folder, name);
  };
  const log = recordedLog();
  let tick = (): void => {};
  let wallMs = Date.now();
  const clock: Clock = { ...processClock, wallMs: () => wallMs, after: (_, task) => ((tick = task), () => {}) };
  const issue = async (into: string, authority: string, name: string, role: string, days = 30): Promise<void> => {
    await issueCertificate(place(authority), place(into), { name, role, addresses: ['127.0.0.1'], days });
  };
  const give = (from: string, ...files: readonly string[]): void => {
    for (const file of files) copyFileSync(join(folder, from, file), join(folder, 'node', file));
  };
  try {
    for (const authority of ['ours', 'other']) await makeAuthority(place(authority), 'unit');
    await issue('first', 'ours', 'c1', 'controller');
    place('node');
    give('first', 'node.crt', 'node.key');
    give('ours', 'ca.crt');
    const certificate = new NodeCertificate({ path: place('node'), node: 'c1', role: 'controller', clock, log });
    const changes: string[] = [];
    certificate.onChange(({ cert }) => changes.push(cert));
    tick();
    assert.equal(changes, []);
    await issue('name', 'ours', 'c2', 'controller');
    await issue('role', 'ours', 'c1', 'worker');
    await issue('authority', 'other', 'c1', 'controller');
    await issue('second', 'ours', 'c1', 'controller', 60);
    const first = certificate.tls.cert;
    const refusals: readonly (readonly [string, readonly string[], RegExp])[] = [
      ['name', ['node.crt', 'node.key'], /not of the controller c1/],
      ['role', ['node.crt', 'node.key'], /not of the controller c1/],
      ['authority', ['node.crt', 'node.key'], /not signed by the authority/],
      ['second', ['node.crt'], /does not fit node.key/],
    ];
    for (const [from, files, why] of refusals) {
      give('first', 'node.crt', 'node.key');
      tick();
      give(from, ...files);
      tick();
      tick();
      assert.match(log.lines.at(-1) ?? '', why);
      assert.is(certificate.tls.cert, first, from);
    }
    assert.is(log.lines.filter((line) => line.includes('does not fit')).length, 1, 'said once, not every 5 s');
    give('second', 'node.key');
    tick();
    assert.equal(changes, [readFileSync(join(folder, 'second/node.crt'), 'utf8')]);
    assert.is(Math.round((certificate.facts.expiresMs - certificate.facts.issuedMs) / dayMs), 60);
    wallMs += 61 * dayMs;
    give('first', 'node.crt', 'node.key');
    tick();
    assert.ok(log.lines.some((line) => line.includes('has expired')));
    assert.is(changes.length, 1);
    assert.match(log.lines.at(-1) ?? '', /the certificate expired at .*; run photon node renew/);
    give('name', 'node.crt', 'node.key');
    try {
      const started = new NodeCertificate({ path: place('node'), node: 'c1', role: 'controller', clock, log });
      assert.unreachable(`a node does not start with the certificate of another, until ${started.facts.expiresMs}`);
    } catch (error) {
      assert.is((error as PhotonError).record?.code, 'certificate_unusable');
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a certificate is due when a third of its life is left, and says so until it has expired', () => {
  const facts = { issuedMs: 0, expiresMs: 30 * dayMs };
  const reasonAt = (days: number): string => certificateCondition(facts, days * dayMs).reason;
  assert.equal([0, 19, 20.01, 29.9, 30, 31].map(reasonAt), [
    'Valid',
    'Valid',
    'RenewalDue',
    'RenewalDue',
    'Expired',
    'Expired',
  ]);
  assert.equal(
    [19, 21, 31].map((days) => isRenewalDue(facts, days * dayMs)),
    [false, true, true],
  );
  assert.is(certificateCondition(facts, 21 * dayMs).status, 'False');
});

test.run();
