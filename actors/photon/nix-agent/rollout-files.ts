/**
 * The files of the agent that brings a NixOS host to a system that was built elsewhere, in its folder: `settings.json`
 * may lie anywhere (Nix writes it), `desired.json` is what was asked for, `activate.json`, `confirmed.json` and
 * `aborted.json` name the request that may go on, is kept, or was ended, and `rollout.json` says how far it is. The
 * record is on the disk before the step that it names is done, so that an agent that starts again knows what may have
 * happened.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  agentStates,
  storePathSchema,
  type AgentState,
} from '@photoncloud/machines/host-rollout/host-rollout-protocol';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';

export const rolloutSettings = z.strictObject({
  /** Public keys of those whose closures are taken: `name:base64`. */
  trustedPublicKeys: z.array(z.string().regex(/^[\w.-]+:[\w+/=]+$/)).min(1),
  /** Programs with arguments that end with 0 on a healthy host. */
  healthChecks: z.array(z.array(z.string()).min(1)).default([]),
  /** How long the checks may fail after a switch. */
  probeSeconds: z.int().min(1).default(60),
  /** How long the agent waits for a confirmation; 0: none is needed. */
  confirmSeconds: z.int().min(0).default(120),
  /** How long a switch may take. */
  switchSeconds: z.int().min(1).default(600),
  /** Generations of the system, and the link to the one that is active. */
  profile: z.string().default('/nix/var/nix/profiles/system'),
  current: z.string().default('/run/current-system'),
});
export type RolloutSettings = z.infer<typeof rolloutSettings>;

export const desiredSystem = z.strictObject({
  /** Distinguishes two requests for the same system. */
  id: z.string().regex(/^[\w-]{1,64}$/),
  system: storePathSchema,
  /** Binary cache that has its closure; null: it was copied here already. */
  from: z.string().nullable().default(null),
  /** It waits, once it is verified, until somebody says that it may activate. */
  hold: z.boolean().default(false),
  /** When it was asked for, ms: who asks on behalf of a cluster gives way to what is newer. */
  askedAt: z.number().default(0),
});
export type DesiredSystem = z.infer<typeof desiredSystem>;

/** The files that name a request: it may activate, it was confirmed, it was ended. */
const mention = z.strictObject({ id: z.string() });

export const endStates: ReadonlySet<AgentState> = new Set(['confirmed', 'refused', 'rolled-back', 'failed']);

const rolloutRecord = z.strictObject({
  id: z.string(),
  system: storePathSchema,
  /** What ran before, and runs again after a rollback; null before it was looked up. */
  previous: storePathSchema.nullable(),
  state: z.enum(agentStates),
  /** Why it is in this state, for people. */
  why: z.string(),
  since: z.string(),
});
export type RolloutRecord = z.infer<typeof rolloutRecord>;

const names = {
  desired: 'desired.json',
  activated: 'activate.json',
  confirmed: 'confirmed.json',
  aborted: 'aborted.json',
  record: 'rollout.json',
} as const;
type Mention = 'activated' | 'confirmed' | 'aborted';

/** @returns undefined when there is no such file @throws defeat `rollout_file` when it is not right */
function read<T>(path: string, schema: z.ZodType<T>): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new PhotonError('defeat', 'rollout_file', `${path} cannot be read: ${describeCause(error)}`);
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : describeCause(error);
    throw new PhotonError('defeat', 'rollout_file', `${path} is not right: ${why}`);
  }
}

/** The file is there whole, or as it was before. */
function write(path: string, value: object): void {
  const next = `${path}.next`;
  const file = openSync(next, 'w', 0o600);
  try {
    writeSync(file, `${JSON.stringify(value, null, 2)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(next, path);
}

/** @throws defeat `rollout_file` */
export function readSettings(path: string): RolloutSettings {
  const settings = read(path, rolloutSettings);
  if (settings === undefined) throw new PhotonError('defeat', 'rollout_file', `${path} does not exist`);
  return settings;
}

export class RolloutFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  desired = (): DesiredSystem | undefined => read(join(this.#path, names.desired), desiredSystem);
  record = (): RolloutRecord | undefined => read(join(this.#path, names.record), rolloutRecord);
  mayActivate = (id: string): boolean => this.#mentions('activated', id);
  isConfirmed = (id: string): boolean => this.#mentions('confirmed', id);
  isAborted = (id: string): boolean => this.#mentions('aborted', id);

  /** @throws ZodError when it is no request */
  request = (desired: DesiredSystem): void => write(join(this.#path, names.desired), desiredSystem.parse(desired));
  activate = (id: string): void => this.#mention('activated', id);
  confirm = (id: string): void => this.#mention('confirmed', id);
  abort = (id: string): void => this.#mention('aborted', id);
  keep = (record: RolloutRecord): void => write(join(this.#path, names.record), record);

  #mentions = (name: Mention, id: string): boolean => read(join(this.#path, names[name]), mention)?.id === id;
  #mention = (name: Mention, id: string): void => write(join(this.#path, names[name]), { id });
}
