/**
 * The serial console of a real QEMU, whose guest is a boot sector that sends back what it is sent: typed and read,
 * one client at a time, bounded; and what such a guest shows of a pause and a reset.
 */
// needs: kernel
// time limit: 240 s
// test limit: 100 s
import { appendFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
import {
  codeOf,
  inOwnNamespaces,
  makeTestFolder,
  nextCall,
  ownerOf,
  smallGuest,
  testOptions,
  testQemu,
  until,
} from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { echoingGuest } from './echoing-guest-for-tests.ts';

const qemu = testQemu();

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { folder, remove } = makeTestFolder();
  const opened = createDataplane(testOptions(path.join(folder, 'node'), { qemu }));
  const actor = 'incarnation/acme/web@w1';
  const owner = ownerOf('replica/acme/data@w1');
  const replica = { owner, volumeUid: 'DATA', serial: 'SERIAL', sizeMib: 4, format: 'raw' as const, image: null };
  const incarnation: IncarnationSpec = {
    owner: ownerOf(actor),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: [{ volume: 'volume/acme/data', volumeUid: 'DATA', serial: 'SERIAL', format: 'raw' }],
  };
  let qemuPid = 0;

  test.before(async () => {
    const dp = await opened;
    await dp.ensureReplica(replica, nextCall());
    writeFileSync(path.join(folder, 'node/volumes/DATA.raw'), echoingGuest, { flag: 'r+' });
    qemuPid = (await dp.startIncarnation(incarnation, nextCall())).pid;
    await dp.resumeIncarnation(incarnation, nextCall());
  });

  test.after(async () => {
    const dp = await opened;
    await dp.stopIncarnation({ incarnation, graceMs: 0 }, nextCall());
    await dp.cleanIncarnation(incarnation, nextCall());
    await dp.removeReplica(replica, nextCall());
    await dp.close();
    remove();
  });

  /** What was read from the console so far. */
  const reader = (console: Duplex): { text: string } => {
    const read = { text: '' };
    console.on('data', (bytes: Buffer) => (read.text += bytes.toString('latin1')));
    console.on('error', () => {});
    return read;
  };
  const closed = async (console: Duplex): Promise<void> => {
    console.destroy();
    await until('the console is free', () => console.closed);
  };
  let typed = 0;
  /** Types a new word; a guest that still boots does not see it, so it is repeated. */
  const echoes = async (console: Duplex, read: { text: string }): Promise<string> => {
    typed += 1;
    const word = `word-${typed}.`;
    await until(`the guest sends back ${word}`, async () => {
      if (read.text.includes(word)) return true;
      console.write(word);
      await pause(300);
      return read.text.includes(word);
    });
    return word;
  };

  test('what is typed reaches the guest, what it prints comes back, and stands there for the next client', async () => {
    const dp = await opened;
    const console = await dp.openConsole(actor);
    const word = await echoes(console, reader(console));
    assert.is(await codeOf(dp.openConsole(actor)), 'console_busy');
    await closed(console);
    const next = await dp.openConsole(actor);
    const read = reader(next);
    await until('the next client sees what was printed', () => read.text.includes(word));
    assert.match((await dp.readConsole(actor)).toString('latin1'), word);
    await closed(next);
    assert.is(await codeOf(dp.openConsole('incarnation/acme/nobody@w1')), 'console_absent');
  });

  test('bytes that a terminal would obey go through as they are', async () => {
    const console = await (await opened).openConsole(actor);
    const read = reader(console);
    await echoes(console, read);
    console.write('\u001b[2J\u0007\u0000\u00ff', 'latin1');
    await until('they come back', () => read.text.endsWith('\u001b[2J\u0007\u0000\u00ff'));
    await closed(console);
  });

  test('a paused guest sends nothing back until it is resumed; a reset one boots anew', async () => {
    const dp = await opened;
    const console = await dp.openConsole(actor);
    const read = reader(console);
    await echoes(console, read);
    await dp.pauseIncarnation(incarnation, nextCall());
    const { length } = read.text;
    console.write('while paused.');
    await pause(1_000);
    assert.is(read.text.length, length);
    await dp.resumeIncarnation(incarnation, nextCall());
    await until('it reads what was typed in the meantime', () => read.text.endsWith('while paused.'));
    await dp.resetIncarnation(incarnation, nextCall());
    await echoes(console, read);
    await closed(console);
  });

  /** As QEMU does for a guest that prints: appended, through the descriptor that QEMU has. */
  const print = (text: string): void => {
    const fds = `/proc/${qemuPid}/fd`;
    const fd = readdirSync(fds).find((one) => readlinkSync(path.join(fds, one)).endsWith('/console'));
    appendFileSync(path.join(fds, fd ?? ''), text);
  };

  test('a guest that prints without end is passed on at a bounded rate, with gaps that say so', async () => {
    const console = await (await opened).openConsole(actor);
    const read = reader(console);
    print(`begin${'x'.repeat(900_000)}end.`);
    await until('the end was read', () => read.text.endsWith('end.'));
    assert.match(read.text, /\r\n\[\d+ bytes left out\]\r\nx/);
    assert.ok(read.text.length < 300_000, `${read.text.length} bytes were passed on`);
    await closed(console);
  });

  test('a client that takes nothing for ten seconds is cut, and another one may come', async () => {
    const dp = await opened;
    const console = await dp.openConsole(actor);
    const ended = new Promise<string>((resolve) => console.once('error', ({ message }) => resolve(message)));
    console.pause();
    for (let round = 0; round < 10; round += 1) {
      print('y'.repeat(20_000));
      await pause(100);
    }
    assert.is(await ended, 'too slow');
    await closed(await dp.openConsole(actor));
  });

  test('the end of the run ends its console', async () => {
    const dp = await opened;
    const console = await dp.openConsole(actor);
    const end = new Promise((resolve) => console.once('end', resolve));
    reader(console);
    await dp.stopIncarnation({ incarnation, graceMs: 0 }, nextCall());
    await end;
    await until('the console is free', () => console.closed);
    assert.is(await codeOf(dp.openConsole(actor)), 'console_absent');
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
