/** Which process a pid or a pidfile means: a pid that was given to another process is neither taken nor signalled. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readDhcpServer } from './dhcp/dhcp-server.ts';
import type { IncarnationPaths } from './hypervisor/qemu-folder.ts';
import { findIncarnation } from './hypervisor/qemu-session.ts';
import { awaitGone, identifyProcess, isStillRunning, signalProcess } from './process-lookup.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'photon-process-'));
/** Any process that is not ours: neither QEMU nor dnsmasq. */
const stranger: ChildProcess = spawn('sleep', ['60'], { stdio: 'ignore' });
const pid = stranger.pid ?? 0;

test.after(() => {
  stranger.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

test('a process with the same pid and another start time is another process', async () => {
  const identity = await identifyProcess(pid);
  assert.ok(identity !== null && (await isStillRunning(identity)));
  const earlier = { pid, startTime: String(Number(identity.startTime) - 1) };
  assert.not.ok(await isStillRunning(earlier));
  assert.not.ok(await signalProcess(earlier, 'SIGKILL'), 'the signal was sent to a stranger');
  assert.ok(await awaitGone(earlier, 0));
  assert.ok(await isStillRunning(identity));
});

test('a pidfile that names a stranger is not believed', async () => {
  const pidFile = path.join(folder, 'pid');
  writeFileSync(pidFile, `${pid}\n`);
  const paths = { pidFile } as IncarnationPaths;
  assert.is(await findIncarnation(paths), null);
  assert.is(await findIncarnation(paths, true), null);
  writeFileSync(path.join(folder, 'dnsmasq.pid'), `${pid}\n`);
  assert.is(await readDhcpServer(folder), null);
});

test.run();
