/** What a VM says of volumes whose storage host is silent. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newVm, type At, type VmContext } from './vm-context.ts';
import { vmKind } from './vm-protocol.ts';
import { noteAway, noteStorageBack, withNoneAway } from './vm-storage.ts';

const disks = [{ volume: 'a' }, { volume: 'b' }];
const runSpec = vmKind.declared.spec.parse({ nics: [{ network: 'n' }], disks }) as VmContext['runSpec'];
const vm: VmContext = { ...newVm('vm/t/w'), runSpec };
const of = (context: VmContext, type: string, volume: string): At =>
  ({ context, event: { type, volume: `volume/t/${volume}`, meta: { at: 7 } } }) as unknown as At;
const away = (context: VmContext, volume: string): VmContext => ({
  ...context,
  ...noteAway(of(context, 'volume.away', volume)),
});
const back = (context: VmContext, volume: string): VmContext => ({
  ...context,
  ...noteStorageBack(of(context, 'volume.back', volume)),
});
const said = ({ conditions }: VmContext): string =>
  conditions.map(({ type, status, message }) => `${type} ${status} ${message}`).join();

test('it names the volumes until all are back, or none is of its run any more', () => {
  const both = away(away(away(vm, 'b'), 'a'), 'a');
  assert.match(said(both), /^StoragePresent False the storage host of volume\/t\/a, volume\/t\/b is silent: .* go on/);
  assert.match(said(back(both, 'a')), /of volume\/t\/b is silent/);
  assert.is(said(back(back(both, 'a'), 'b')).trim(), 'StoragePresent True');
  assert.is(said({ ...both, ...withNoneAway(both, 8) }).trim(), 'StoragePresent True');
});

test('a volume that it does not use is none of its business, and who was never told says nothing', () => {
  assert.is(said(away(vm, 'c')), '');
  assert.is(said(back(vm, 'a')), '');
  assert.is(said({ ...vm, ...withNoneAway(vm, 8) }), '');
});

test.run();
