/**
 * One rollout of a NixOS host: fetch, verify, set the generation, switch, check, wait until somebody confirms over a
 * new connection, and go back to what ran before when any of that fails. Every step is recorded before it is done; an
 * agent that died in between rolls back what it may have changed. Called by nix-agent-commands.ts.
 *
 * Promise: a host that cannot be reached after a switch, or whose checks fail, runs its former system again, by its
 * store path (generations are numbered anew, and the next lower one need not be what ran). A system that is not
 * complete, unchanged and signed is never activated.
 * Rejected: `nix-env --rollback` (goes to the next lower number); confirming by the connection that asked (it may live
 * on although no new one comes through).
 */
import { setTimeout as pause } from 'node:timers/promises';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import type { SystemHost } from './nix-system.ts';
import {
  endStates,
  type DesiredSystem,
  type RolloutFolder,
  type RolloutRecord,
  type RolloutSettings,
  type RolloutState,
} from './rollout-files.ts';

const pollMs = 250;

export class HostRollout {
  readonly #folder: RolloutFolder;
  readonly #host: SystemHost;
  readonly #settings: RolloutSettings;
  readonly #say: (record: RolloutRecord) => void;

  constructor(
    folder: RolloutFolder,
    host: SystemHost,
    settings: RolloutSettings,
    say: (record: RolloutRecord) => void,
  ) {
    this.#folder = folder;
    this.#host = host;
    this.#settings = settings;
    this.#say = say;
  }

  /** Whether there is a request that was not carried out yet. */
  pending(): DesiredSystem | undefined {
    const [desired, record] = [this.#folder.desired(), this.#folder.record()];
    return desired === undefined || desired.id === record?.id ? undefined : desired;
  }

  /** What an agent that starts does first: whatever was under way when the last one ended is ended. */
  async resume(): Promise<void> {
    const record = this.#folder.record();
    if (record === undefined || endStates.has(record.state)) return;
    const why = `the agent ended while the rollout was ${record.state}`;
    if (record.state === 'received' || record.state === 'verified') this.#enter(record, 'refused', why);
    else await this.#rollBack(record, record.state === 'rolling-back' ? record.why : why);
  }

  /** Carries out a request to one of its ends; never throws for what the host says. */
  async carryOut({ id, system, from }: DesiredSystem): Promise<RolloutRecord> {
    const previous = this.#host.active();
    let record = this.#enter({ id, system, previous, state: 'received', why: '', since: '' }, 'received', '');
    try {
      if (from !== null) await this.#host.fetch(system, from);
      await this.#host.verify(system);
      record = this.#enter(record, 'verified', '');
    } catch (error) {
      return this.#enter(record, 'refused', describeCause(error));
    }
    if (previous === system) return this.#enter(record, 'confirmed', 'it was active already');
    try {
      record = this.#enter(record, 'staged', '');
      await this.#host.setProfile(system);
      record = this.#enter(record, 'activating', '');
      await this.#host.activate(system);
      record = this.#enter(record, 'probing', '');
      await this.#probe();
      if (this.#settings.confirmSeconds > 0) {
        record = this.#enter(record, 'awaiting-confirmation', `confirm within ${this.#settings.confirmSeconds} s`);
        await this.#confirmed(id);
      }
      return this.#enter(record, 'confirmed', '');
    } catch (error) {
      return await this.#rollBack(record, describeCause(error));
    }
  }

  #enter(record: RolloutRecord, state: RolloutState, why: string): RolloutRecord {
    const next = { ...record, state, why, since: new Date().toISOString() };
    this.#folder.keep(next);
    this.#say(next);
    return next;
  }

  /** @throws what the last failed check has said */
  async #probe(): Promise<void> {
    const endMs = performance.now() + this.#settings.probeSeconds * 1000;
    for (const check of this.#settings.healthChecks)
      for (;;) {
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
      return this.#enter(rolling, 'failed', `${why}; going back to ${previous} failed, too: ${describeCause(error)}`);
    }
  }
}
