import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { recordedLog } from '@photoncloud/runtime/journal/redis-for-tests';
import { findQemu } from './qemu-program.ts';

const folder = mkdtempSync(join(tmpdir(), 'photon-qemu-test-'));
test.after(() => rmSync(folder, { recursive: true }));

const log = recordedLog();

function found(text: string): unknown {
  const record = join(folder, 'toolchain.json');
  writeFileSync(record, text);
  try {
    return findQemu(log, record);
  } catch (error) {
    if (error instanceof PhotonError) return error.record.code;
    throw error;
  }
}

test('the QEMU in the record is used, else the one of the host; a record without QEMU is logged', () => {
  assert.equal(found('{"qemu":{"binary":"/q","libDir":"/lib"}}'), { binary: '/q', libDir: '/lib' });
  assert.equal(found('{}'), { binary: 'qemu-system-x86_64' });
  assert.equal(findQemu(log, join(folder, 'absent.json')), { binary: 'qemu-system-x86_64' });
  assert.equal(log.lines, []);
  assert.equal(found('{"qemu":null}'), { binary: 'qemu-system-x86_64' });
  assert.match(log.lines.join(''), /found no QEMU: no VM is placed on this host until/);
  assert.is(found('{"qemu":'), 'toolchain_unreadable');
  assert.is(found('{"qemu":"yes"}'), 'toolchain_unreadable');
});

test.run();
