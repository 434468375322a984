/** Requests of a migration: pure functions of context and event. */
import { place, placeRelease, placeTransfer } from '../cluster/cluster-protocol.ts';
import { imageFree, imageNeed } from '../image/image-protocol.ts';
import * as incarnation from '../incarnation/incarnation-protocol.ts';
import { portStandBy, portStandDown, portTakeOver } from '../port/port-protocol.ts';
import { clusterId } from '../values/identifiers.ts';
import { reject, reply, send, type Asked } from '../values/telling.ts';
import { volumeActivate, volumeDropStandby, volumeStandby } from '../volume/volume-protocol.ts';
import * as contexts from './migration-context.ts';
import { askOf, hostOf, type At } from './migration-context.ts';
import { migrationBegun, migrationBusy, migrationCommit, migrationEnded } from './migration-protocol.ts';

export const askPlace = ({ context }: At): readonly Asked[] => {
  const { to, from, run, volumes } = askOf(context);
  const { cpus, memoryMib } = run;
  const moved = volumes.filter(({ sizeMib }) => sizeMib > 0).map((one) => ({ ...one, host: null }));
  const ask = { vm: context.id, cpus, memoryMib, host: to, volumes: moved, lastRun: null, avoid: [from.name] };
  return [send(clusterId, place(ask))];
};

export const tellBegun = ({ context }: At): readonly Asked[] => [
  send(contexts.vmOf(context), migrationBegun({ migration: context.id, host: hostOf(context).name })),
];

/** Requests all that the new run needs, except what is there already. */
export const askParts = ({ context }: At): readonly Asked[] => {
  const { vm } = askOf(context);
  const [host, runEpoch] = [hostOf(context), contexts.nextEpoch(context)];
  const among = (ids: readonly string[]) => ids.filter((each) => context.awaited.includes(each));
  return [
    ...among(contexts.portsOf(context)).map((to) => send(to, portStandBy({ holder: vm, host, runEpoch }))),
    ...among(contexts.volumesOf(context)).map((to) => send(to, volumeStandby({ vm, host, runEpoch }))),
    ...among(contexts.imagesOf(context)).map((to) => send(to, imageNeed({ holder: context.id, host }))),
  ];
};

export const askReceive = ({ context }: At): readonly Asked[] => {
  const { vm } = askOf(context);
  return [
    send(contexts.targetOf(context), incarnation.incarnationReceive({ vm, spec: contexts.newRun(context) })),
    // Those that have not said yet that they are wired say it again.
    ...contexts
      .portsOf(context)
      .filter((port) => port in context.nics && !context.standing.includes(port))
      .map((to) => send(to, portStandBy({ holder: vm, host: hostOf(context), runEpoch: contexts.nextEpoch(context) }))),
  ];
};

const incarnationUid = (context: At['context']): string => askOf(context).run.owner.uid;

export const askSend = ({ context }: At): readonly Asked[] => {
  const { door, uid } = context;
  if (door === null) return [];
  const { maxDowntimeMs, onStall } = askOf(context).limits;
  const mirrors = [...contexts.mirrored(context)];
  const outgoing = { migration: uid, door, mirrors, maxDowntimeMs, throttle: onStall === 'throttle' };
  return [
    send(
      contexts.sourceOf(context),
      incarnation.incarnationSend({ incarnationUid: incarnationUid(context), outgoing }),
    ),
  ];
};

export const askHold = ({ context }: At): readonly Asked[] => [
  send(contexts.sourceOf(context), incarnation.incarnationHold({ incarnationUid: incarnationUid(context) })),
];

export const askCommit = ({ context }: At): readonly Asked[] => [
  send(
    contexts.vmOf(context),
    migrationCommit({
      host: hostOf(context),
      runEpoch: contexts.nextEpoch(context),
      incarnationUid: context.newUid,
      nics: contexts.newNics(context),
      disks: contexts.newDisks(context),
    }),
  ),
];

// After the VM has decided for the new host

const activations = ({ context }: At, volumes: readonly string[]): readonly Asked[] => {
  const { vm } = askOf(context);
  return volumes
    .filter((volume) => context.awaited.includes(volume))
    .map((to) => send(to, volumeActivate({ vm, runEpoch: contexts.nextEpoch(context) })));
};

/** The former run is cut from the shared volumes. */
export const askCut = (seen: At): readonly Asked[] => activations(seen, contexts.handedOver(seen.context));

/** The guest goes on, and all its addresses lead to it. */
export const askSwitch = ({ context }: At): readonly Asked[] => {
  const { vm } = askOf(context);
  const [host, runEpoch, target] = [hostOf(context), contexts.nextEpoch(context), contexts.targetOf(context)];
  return context.awaited.map((to) =>
    to === target
      ? send(
          to,
          incarnation.incarnationGoOn({ incarnationUid: context.newUid, flows: [...(context.sent?.flows ?? [])] }),
        )
      : send(to, portTakeOver({ holder: vm, host, runEpoch })),
  );
};

/** The former run ends; it has nothing to write any more. */
export const askStopSource = ({ context }: At): readonly Asked[] =>
  context.awaited.includes(contexts.sourceOf(context))
    ? [
        send(
          contexts.sourceOf(context),
          incarnation.incarnationStop({ graceMs: 0, incarnationUid: incarnationUid(context) }),
        ),
      ]
    : [];

export const transferPlace = ({ context }: At): readonly Asked[] => [
  send(
    clusterId,
    placeTransfer({ vm: askOf(context).vm, migration: context.id, volumes: [...contexts.roomyOf(context)] }),
  ),
];

/** What is left on the former host: bindings that forward, and the bytes of local volumes. */
export const askClear = (seen: At): readonly Asked[] => [
  ...standDowns(seen),
  ...activations(seen, contexts.mirrored(seen.context)),
];

const standDowns = ({ context }: At): readonly Asked[] =>
  contexts
    .portsOf(context)
    .filter((port) => context.awaited.includes(port))
    .map((to) => send(to, portStandDown({ holder: askOf(context).vm })));

export const freeImages = ({ context }: At): readonly Asked[] =>
  contexts.imagesOf(context).map((to) => send(to, imageFree({ holder: context.id })));

// Before

/** The guest goes on where it was, and what listens on the other host ends. */
export const askBack = ({ context }: At): readonly Asked[] =>
  context.awaited.map((to) =>
    to === contexts.sourceOf(context)
      ? send(to, incarnation.incarnationUnsend({ incarnationUid: incarnationUid(context) }))
      : send(to, incarnation.incarnationStop({ graceMs: 0, incarnationUid: context.newUid })),
  );

/** Nothing of it stays on the other host. */
export const askUndo = (seen: At): readonly Asked[] => {
  const { context } = seen;
  const runEpoch = contexts.nextEpoch(context);
  return [
    ...standDowns(seen),
    ...contexts
      .volumesOf(context)
      .filter((volume) => context.awaited.includes(volume))
      .map((to) => send(to, volumeDropStandby({ runEpoch }))),
  ];
};

export const releasePlace = ({ context }: At): readonly Asked[] => [
  send(clusterId, placeRelease({ vm: context.id, volumes: [...contexts.roomyOf(context)] })),
];

export const tellEnded = ({ context, event }: At): readonly Asked[] => [
  send(contexts.vmOf(context), migrationEnded({ summary: contexts.summaryOf(context, event.meta.at) })),
];

export const refuseBusy = ({ context }: At): readonly Asked[] => {
  const message = `the last move of ${contexts.vmOf(context)} still clears up on a host; migrate it again shortly`;
  return [
    send(contexts.vmOf(context), migrationBusy({ error: { code: 'migration_active', message, retryable: true } })),
  ];
};

export const answerCancel = ({ event }: At): readonly Asked[] =>
  event.meta.commandId === undefined ? [] : [reply(event.meta.commandId, {})];

export const rejectCancel = ({ context }: At): readonly Asked[] => {
  const message = `${contexts.vmOf(context)} has its new host already; migrate it again to move it back`;
  return [reject({ code: 'migration_committed', message })];
};
