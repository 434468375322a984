/**
 * The dataplane of a node that has none: controllers know the pinned kinds (to show and to speak to them) but never own
 * their shards, so no effect of theirs is ever performed here. Being called at all is a bug and says so.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Dataplane } from '../dataplane/contract/dataplane-contract.ts';

export const noDataplane = new Proxy({} as Dataplane, {
  get: (_, method) => () => {
    throw new PhotonError('bug', 'no_dataplane', `${String(method)} was called on a node without a dataplane`);
  },
});
