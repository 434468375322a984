// needs: kernel
/** A host says with which QEMU it runs VMs; one that is to run none says so, and is otherwise as any other. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nextCall, openForTests, testQemu } from '../dataplane-for-tests.ts';

const qemu = testQemu() ?? { binary: 'qemu-system-x86_64' };
const any = openForTests({ qemu });
const gateway = openForTests({ qemu, guests: false });

test('a host without guests has no QEMU for them', async () => {
  const [one, other] = [await any.opened, await gateway.opened];
  const of = async (dataplane: typeof one) => await dataplane.observeHost(nextCall());
  const [usual, alone] = [await of(one), await of(other)];
  assert.match(usual.qemuVersion ?? '', /^\d+\.\d+\.\d+/);
  assert.is(alone.qemuVersion, null);
  assert.equal([alone.cpus, alone.memoryMib, alone.storage], [usual.cpus, usual.memoryMib, usual.storage]);
});

test.run();
