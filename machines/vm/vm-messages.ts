/** Requests and answers of a VM, beside those of every declared kind: pure functions. */
import { place, placeRelease, type PlaceRequest } from '../cluster/cluster-protocol.ts';
import { imageFree, imageNeed } from '../image/image-protocol.ts';
import {
  incarnationPause,
  incarnationReset,
  incarnationResume,
  incarnationStart,
  incarnationStop,
} from '../incarnation/incarnation-protocol.ts';
import { portBind, portClaim, portRelease, portRest } from '../port/port-protocol.ts';
import { sameJson } from '../values/failures.ts';
import { clusterId, partsOfId } from '../values/identifiers.ts';
import { rejectFor, send, type Acted, type Asked } from '../values/telling.ts';
import type { IncarnationSpec } from '../values/wiring.ts';
import { volumeAttach, volumeDetach, volumeLocate } from '../volume/volume-protocol.ts';
import { declarationOf, dropRefused, refusalOf } from './vm-changes.ts';
import * as contexts from './vm-context.ts';
import { hostIn, imageIds, portId, portIds, runSpecIn, specIn, volumeIds } from './vm-context.ts';
import type { At, Proposal, VmContext } from './vm-context.ts';
import { runDisks, runNics, slotsOf } from './vm-devices.ts';
import { progressOf } from './vm-progress.ts';
import type { VmNic } from './vm-protocol.ts';

// Ports

function claims(
  context: VmContext,
  { spec, labels, awaited }: Pick<Proposal, 'spec' | 'labels' | 'awaited'>,
): readonly Asked[] {
  return spec.nics
    .filter((nic) => awaited.includes(portId(context, nic)))
    .map((nic) => claim(context, nic, labels ?? context.labels));
}

function claim(context: VmContext, nic: VmNic, labels = context.labels): Asked {
  const { name: _, ...declared } = nic;
  const spec = { ...declared, host: null };
  return send(portId(context, nic), portClaim({ spec, holder: context.id, labels }));
}

/** Claims the ports again whose groups or labels a declaration changes, before it is accepted. */
function regroup(context: VmContext, { spec, labels }: Omit<Proposal, 'awaited'>): readonly Asked[] {
  const wanted = labels ?? context.labels;
  const isRelabelled = !sameJson(wanted, context.labels);
  return spec.nics
    .filter((nic) => {
      const before = context.spec?.nics.find(({ name }) => name === nic.name);
      return before !== undefined && (isRelabelled || !sameJson(before, nic));
    })
    .map((nic) => claim(context, nic, wanted));
}

/** The ports that a proposed change has asked for something else get what the VM has. */
const takeBack = (context: VmContext): readonly Asked[] =>
  (context.proposed?.spec.nics ?? []).flatMap((nic) => {
    const before = context.spec?.nics.find(({ name }) => name === nic.name);
    return before !== undefined && contexts.asksPort(before, nic) ? [claim(context, before)] : [];
  });

export const regroupPorts = (seen: At): readonly Asked[] => regroup(seen.context, declarationOf(seen));

export const regroupProposed = ({ context }: At): readonly Asked[] =>
  context.proposed === null ? [] : regroup(context, context.proposed);

/** Tells the ports the labels that a declaration brings, by which selectors find them. */
export const relabelPorts = (seen: At): readonly Asked[] =>
  regroup(seen.context, { ...declarationOf(seen), spec: specIn(seen.context) });

export const claimPorts = ({ context }: At): readonly Asked[] =>
  claims(context, { spec: specIn(context), labels: null, awaited: context.awaited });

/** Repeated on each entry of a waiting state, until the ports have answered. */
export const claimProposed = ({ context }: At): readonly Asked[] =>
  context.proposed === null ? [] : claims(context, context.proposed);

const giveBack = (context: VmContext, ids: readonly string[]): readonly Asked[] =>
  ids.map((to) => send(to, portRelease({ holder: context.id })));

export const releasePorts = ({ context }: At): readonly Asked[] => giveBack(context, context.awaited);
export const releaseStrays = ({ context }: At): readonly Asked[] => giveBack(context, contexts.strayPorts(context));

/** Rejects a proposed change with the field that caused it; the old spec stays. */
export function rejectProposed(seen: At): Acted<VmContext> {
  const { context } = seen;
  const { error, path } = refusalOf(seen, context.proposed?.spec ?? specIn(context));
  return {
    changes: { waiters: [], proposed: null, ...dropRefused(seen) },
    asks: [...context.waiters.map(({ commandId }) => rejectFor(commandId, error, path)), ...takeBack(context)],
  };
}

/** Rejects the commands of a change that waits for ports: a newer change replaces it. */
export function rejectSuperseded({ context }: At): Acted<VmContext> {
  const { id, waiters, proposed } = context;
  if (proposed === null) return { changes: {}, asks: [] };
  const message = `${id} was changed again before the ports of this change had addresses`;
  const error = { code: 'superseded', message, retryable: false };
  return {
    changes: { waiters: [] },
    asks: [...waiters.map(({ commandId }) => rejectFor(commandId, error, 'spec.nics')), ...takeBack(context)],
  };
}

/** Rejects the creation after all claims were released; a deletion meanwhile is answered like every other. */
export function rejectRefused({ context }: At): Acted<VmContext> {
  const { refusal, waiters } = context;
  const refused = waiters.filter(({ result }) => result !== 'deleted');
  const left = { waiters: waiters.filter(({ result }) => result === 'deleted') };
  if (refusal === null) return { changes: left, asks: [] };
  const asks = refused.map(({ commandId }) => rejectFor(commandId, refusal.error, refusal.path));
  return { changes: { ...left, failure: refusal.error }, asks };
}

// Placement

export const askVolumes = ({ context }: At): readonly Asked[] =>
  context.awaited.map((to) => send(to, volumeLocate({ vm: context.id })));

/** For a host other than the one that it is to leave. */
export const placeRequest = (context: VmContext): PlaceRequest => {
  const { id, located, lastRun, leaving } = context;
  const { cpus, memoryMib, host } = runSpecIn(context);
  const antiAffinity = contexts.antiAffinityOf(context);
  const avoid = leaving === null ? [] : [leaving];
  return { vm: id, cpus, memoryMib, host, volumes: located, lastRun, antiAffinity, avoid };
};

export const askPlace = ({ context }: At): readonly Asked[] => [send(clusterId, place(placeRequest(context)))];

// Resources of a run

/** Requests all resources of a run on its host, except those that are already provided. */
export const askPreparations = ({ context }: At): readonly Asked[] => {
  const { id, runEpoch, awaited } = context;
  const [spec, host] = [runSpecIn(context), hostIn(context)];
  const among = (ids: readonly string[]) => ids.filter((each) => awaited.includes(each));
  return [
    ...among(portIds(context, spec)).map((to) => send(to, portBind({ holder: id, host, runEpoch }))),
    ...among(volumeIds(context, spec)).map((to) => send(to, volumeAttach({ vm: id, host, runEpoch }))),
    ...among(imageIds(context, spec)).map((to) => send(to, imageNeed({ holder: id, host }))),
  ];
};

export const detach = ({ id, host, runEpoch }: VmContext, volumes: readonly string[]): readonly Asked[] =>
  volumes.map((to) => send(to, volumeDetach({ vm: id, ...(host === null ? {} : { host: host.name, runEpoch }) })));
const free = ({ id }: VmContext, images: readonly string[]): readonly Asked[] =>
  images.map((to) => send(to, imageFree({ holder: id })));

/** Volumes and images of the last run that the next run does not use. */
const dropUnused = (context: VmContext): readonly Asked[] => {
  const { spec, runSpec } = context;
  const dropped = (ids: typeof volumeIds) => {
    const kept = ids(context, spec);
    return ids(context, runSpec).filter((each) => !kept.includes(each));
  };
  return [...detach(context, dropped(volumeIds)), ...free(context, dropped(imageIds))];
};

/** Begins a run of the newest spec and releases what only the last run used. */
export function beginRun({ context, event }: At): Acted<VmContext> {
  const spec = specIn(context);
  const run = { runSpec: spec, runGeneration: context.generation, plugs: {} };
  const next = { ...context, ...run };
  return {
    changes: { ...run, ...progressOf(next, event.meta.at) },
    asks: [...dropUnused(context), ...giveBack(context, contexts.strayPorts(next))],
  };
}

export const askReleases = ({ context }: At): readonly Asked[] => {
  const { id, runSpec, awaited } = context;
  return [
    ...awaited.map((to) => send(to, portRest({ holder: id }))),
    ...detach(context, volumeIds(context, runSpec)),
    ...free(context, imageIds(context, runSpec)),
    send(clusterId, placeRelease({ vm: id })),
  ];
};

// A run

/** The present run, as its host is told. */
export function incarnationSpec(context: VmContext): IncarnationSpec {
  const { id, runEpoch, era, machineType, images } = context;
  const spec = runSpecIn(context);
  const [diskSlots, nicSlots] = [slotsOf(context, 'disks'), slotsOf(context, 'nics')];
  const [kernel, initrd] = imageIds(context, spec).map((image) => images[image] ?? '');
  return {
    owner: { actor: contexts.incarnationId(context), uid: context.incarnationUid ?? '', runEpoch },
    vm: id,
    era,
    cpus: spec.cpus,
    memoryMib: spec.memoryMib,
    machineType: spec.machineType ?? machineType,
    nics: [...runNics(context)],
    disks: [...runDisks(context)],
    ...(diskSlots === undefined ? {} : { diskSlots }),
    ...(nicSlots === undefined ? {} : { nicSlots }),
    boot:
      spec.boot === null
        ? null
        : { kernelSha256: kernel ?? '', initrdSha256: initrd ?? '', commandLine: spec.boot.commandLine },
    seed: { ...spec.seed, instanceId: context.uid, hostname: partsOfId(id).name },
    ...(spec.guestAgent ? { guestAgent: true } : {}),
  };
}

export const askRun = ({ context }: At): readonly Asked[] => [
  send(contexts.incarnationId(context), incarnationStart({ vm: context.id, spec: incarnationSpec(context) })),
];

const toRun = (
  context: VmContext,
  of: typeof incarnationPause | typeof incarnationResume | typeof incarnationReset,
) => [send(contexts.incarnationId(context), of({ incarnationUid: context.incarnationUid ?? '' }))];
export const askPause = ({ context }: At): readonly Asked[] => toRun(context, incarnationPause);
export const askResume = ({ context }: At): readonly Asked[] => toRun(context, incarnationResume);
export const askReset = ({ context }: At): readonly Asked[] => toRun(context, incarnationReset);

export const askStop = ({ context }: At): readonly Asked[] => {
  const { graceMs, incarnationUid } = context;
  return [send(contexts.incarnationId(context), incarnationStop({ graceMs, incarnationUid }))];
};
