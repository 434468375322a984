/** The part of dataplane-script.ts about image copies: imported, gathered, fetched, shared by owners, removed. */
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import { nextCall, ownerOf } from '@photoncloud/actors/dataplane/dataplane-for-tests';
import type { Step } from './dataplane-script.ts';

export async function imageScript(dp: Dataplane, step: Step, folder: string): Promise<void> {
  const copy = {
    owner: ownerOf('image-copy/acme/base@w1'),
    path: `${folder}/disk`,
    format: 'raw' as const,
    sha256: null,
  };
  await step('inspected', dp.inspectImage(copy, nextCall()), ({ sizeBytes }) => sizeBytes);
  await step('outside', dp.importCopy({ ...copy, path: '/elsewhere/disk' }, nextCall()));
  await step('missing', dp.importCopy({ ...copy, path: `${folder}/none` }, nextCall()));
  await step('another digest', dp.importCopy({ ...copy, sha256: 'b'.repeat(64) }, nextCall()));
  let sha256 = '';
  await step('import', dp.importCopy(copy, nextCall()), (proof) => {
    ({ sha256 } = proof);
    return proof.virtualSizeBytes;
  });
  const other = { ...copy, owner: ownerOf('image-copy/acme/counterpart@w1') };
  await step('for a second owner', dp.importCopy(other, nextCall()), (proof) => proof.sha256 === sha256);
  await step('the first lets go', dp.removeCopy({ ...copy, sha256 }, nextCall()));
  await step('the second lets go', dp.removeCopy({ ...other, sha256 }, nextCall()));
  await step('nobody is left', dp.removeCopy({ ...other, sha256 }, nextCall()));
  const gather = { owner: copy.owner, source: { url: 'http://127.0.0.1/disk' }, format: 'raw' as const, sha256 };
  await step('nothing was gathered', dp.storeGathered({ ...gather, sha256: 'd'.repeat(64) }, nextCall()));
  await step('nothing to drop', dp.removeCopy({ ...copy, sha256: null }, nextCall()));
  await step('nobody waits for bytes', dp.putGathered(copy.owner.actor, 0, Buffer.of(1)));
  const fetch = { owner: copy.owner, format: 'raw' as const, sha256: 'c'.repeat(64), sizeBytes: 1, from: 'w2' };
  await step('a host that does not answer', dp.fetchCopy(fetch, nextCall()));
}
