/**
 * One rollout of a NixOS host: fetch, verify, set the generation, switch, check, wait until somebody confirms over a
 * new connection, and go back to what ran before when any of that fails. Every step is recorded before it is done; an
 * agent that died before anything was changed begins again, one that died later rolls back what it may have changed.
 * Called by nix-agent-commands.ts.
 *
 * Promise: a host that cannot be reached after a switch, or whose checks fail, runs its former system again, by its
 * store path (generations are numbered anew, and the next lower one need not be what ran). A system that is not
 * complete, unchanged and signed is never activated.
 * Rejected: `nix-env --rollback` (goes to the next lower number); confirming by the connection that asked (it may live
 * on although no new one comes through).
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AgentState } from '@photoncloud/machines/host-rollout/host-rollout-protocol';
import type { SystemHost } from './nix-system.ts';
import {
  endStates,
  type DesiredSystem,
  type RolloutFolder,
  type RolloutRecord,
  type RolloutSettings,
} from './rollout-files.ts';

const pollMs = 250;
/** Before the generation is set, nothing of the host was changed. */
const harmless: readonly AgentState[] = ['received', 'fetched', 'verified'];

/** People read it in the record: without the class and the code of the error. */
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export interface HostRolloutParts {
  readonly folder: RolloutFolder;
  readonly host: SystemHost;
  readonly settings: RolloutSettings;
  readonly say: (record: RolloutRecord) => void;
  /** The agent is to end: it waits for nobody any more. */
  readonly isStopping: () => boolean;
}

export class HostRollout {
  readonly #folder: RolloutFolder;
  readonly #host: SystemHost;
  readonly #settings: RolloutSettings;
  readonly #say: (record: RolloutRecord) => void;
  readonly #isStopping: () => boolean;

  constructor({ folder, host, settings, say, isStopping }: HostRolloutParts) {
    this.#folder = folder;
    this.#host = host;
    this.#settings = settings;
    this.#say = say;
    this.#isStopping = isStopping;
  }

  /** Whether there is a request that was not carried out yet. */
  pending(): DesiredSystem | undefined {
    const [desired, record] = [this.#folder.desired(), this.#folder.record()];
    const isTaken = desired?.id === record?.id && !(record !== undefined && harmless.includes(record.state));
    return desired === undefined || isTaken ? undefined : desired;
  }

  /** What an agent that starts does first: what may have been changed when the last one ended is taken back. */
  async resume(): Promise<void> {
    const record = this.#folder.record();
    if (record === undefined || endStates.has(record.state) || harmless.includes(record.state)) return;
    const why = `the agent ended while the rollout was ${record.state}`;
    await this.#rollBack(record, record.state === 'rolling-back' ? record.why : why);
  }

  /** Carries out a request to one of its ends; never throws for what the host says. */
  async carryOut({ id, system, from, hold }: DesiredSystem): Promise<RolloutRecord> {
    const previous = this.#host.active();
    let record = this.#enter({ id, system, previous, state: 'received', why: '', since: '' }, 'received', '');
    try {
      this.#checkAborted(id);
      if (from !== null) await this.#host.fetch(system, from);
      record = this.#enter(record, 'fetched', '');
      await this.#host.verify(system);
      await this.#host.keep(system);
      record = this.#enter(record, 'verified', '');
      if (hold && !(await this.#mayGoOn(id))) return record;
      this.#checkAborted(id);
    } catch (error) {
      return this.#enter(record, 'refused', messageOf(error));
    }
    if (previous === system) return this.#enter(record, 'confirmed', 'it was active already');
    try {
      record = this.#enter(record, 'staged', '');
      await this.#host.setProfile(system);
      record = this.#enter(record, 'activating', '');
      await this.#host.activate(system);
      record = this.#enter(record, 'probing', '');
      await this.#probe(id);
      if (this.#settings.confirmSeconds > 0) {
        record = this.#enter(record, 'awaiting-confirmation', `confirm within ${this.#settings.confirmSeconds} s`);
        await this.#confirmed(id);
      }
      return this.#enter(record, 'confirmed', '');
    } catch (error) {
      return await this.#rollBack(record, messageOf(error));
    }
  }

  #enter(record: RolloutRecord, state: AgentState, why: string): RolloutRecord {
    const next = { ...record, state, why, since: new Date().toISOString() };
    this.#folder.keep(next);
    this.#say(next);
    return next;
  }

  #checkAborted(id: string): void {
    if (this.#folder.isAborted(id)) throw new Error('the rollout was ended');
  }

  /** @returns false when the agent is to end: the next one begins again @throws Error when it was ended */
  async #mayGoOn(id: string): Promise<boolean> {
    while (!this.#folder.mayActivate(id)) {
      this.#checkAborted(id);
      if (this.#folder.desired()?.id !== id) throw new Error('another system was requested meanwhile');
      if (this.#isStopping()) return false;
      await pause(pollMs);
    }
    return true;
  }

  /** @throws what the last failed check has said */
  async #probe(id: string): Promise<void> {
    const endMs = performance.now() + this.#settings.probeSeconds * 1000;
    for (const check of this.#settings.healthChecks)
      for (;;) {
        this.#checkAborted(id);
        try {
          await this.#host.check(check);
          break;
        } catch (error) {
          if (performance.now() >= endMs) throw error;
          await pause(pollMs);
        }
      }
  }

  async #confirmed(id: string): Promise<void> {
    const endMs = performance.now() + this.#settings.confirmSeconds * 1000;
    while (!this.#folder.isConfirmed(id)) {
      this.#checkAborted(id);
      if (performance.now() >= endMs)
        throw new Error(`nobody has confirmed within ${this.#settings.confirmSeconds} s: photon nix-agent confirm`);
      await pause(pollMs);
    }
  }

  async #rollBack(record: RolloutRecord, why: string): Promise<RolloutRecord> {
    const { previous } = record;
    if (previous === null) return this.#enter(record, 'failed', `${why}; there is no former system to go back to`);
    const rolling = this.#enter(record, 'rolling-back', why);
    try {
      await this.#host.setProfile(previous);
      await this.#host.activate(previous);
      return this.#enter(rolling, 'rolled-back', why);
    } catch (error) {
      return this.#enter(rolling, 'failed', `${why}; going back to ${previous} failed, too: ${messageOf(error)}`);
    }
  }
}
