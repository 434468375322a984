/**
 * What a deployer may do on its node, passed in by the composition root: read what is committed, send commands on the
 * same way as clients do, follow changes, wait. The commands of a deployment have its id as their principal.
 */
import type { Revision } from '@photoncloud/machines/plan/plan-protocol';

/** An actor as a client with the rights of the deployment sees it. */
export interface ReadActor {
  readonly uid: string;
  readonly version: number;
  readonly lifecycle: 'live' | 'removed';
  readonly stateName: string;
  readonly spec: unknown;
  readonly status: unknown;
  readonly reason: string | null;
}

export interface DeployerCommand {
  /** Actor id of the deployment that asks. */
  readonly deployment: string;
  readonly tenants: Revision['tenants'];
  /** Actor id of the object. */
  readonly to: string;
  readonly verb: 'apply' | 'delete';
  readonly params: object;
  readonly idempotencyKey: string;
  readonly ifVersion?: number;
  readonly dryRun?: boolean;
  /** How long the answer may take. */
  readonly waitMs: number;
}

export interface DeployerPort {
  read(id: string): Promise<ReadActor | undefined>;
  /** The values of these rows of an actor, in order. @throws PhotonError fault `row_missing` */
  rows(actor: string, collection: string, keys: readonly string[]): Promise<readonly unknown[]>;
  /** Resolves when the actor has carried it out. @throws PhotonError its refusal; `unknown` when no answer came */
  command(command: DeployerCommand): Promise<void>;
  /** Calls with the id of each actor that changes from now on; with null when some may have been missed. */
  follow(onChange: (id: string | null) => void, signal: AbortSignal): void;
  /** SHA-256, hex. */
  digest(text: string): string;
  /** On the shared clock, ms. */
  now(): number;
  /** @throws the reason of the signal once it aborts */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** Uniform in [0, 1). */
  fraction(): number;
}
