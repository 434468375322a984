/** The file that says which replica or snapshot copy a file of the volumes is of; it is made first and removed last. */
import { writeFile } from 'node:fs/promises';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { aliasOf, ownerOfAlias } from '../owner-alias.ts';
import { createFile, readTextFile } from '../storage-files.ts';
import { replicaOwnerPath } from './replica-paths.ts';

/** @param uid of the volume or the snapshot */
export async function readReplicaOwner(site: DataplaneSite, uid: string): Promise<OwnerToken | null> {
  return ownerOfAlias(site.options.cluster, await readTextFile(replicaOwnerPath(site.folders.volumes, uid)));
}

export async function writeReplicaOwner(site: DataplaneSite, uid: string, owner: OwnerToken): Promise<void> {
  await createFile(replicaOwnerPath(site.folders.volumes, uid), async (_, handle) =>
    writeFile(handle, aliasOf(site.options.cluster, owner)),
  );
}
