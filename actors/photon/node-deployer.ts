/**
 * The deployer's ports on a controller: it reads like the control API, and its commands go the way of the control API,
 * with the id of the deployment as their principal. A token's name has no slash, so no client can be that principal.
 * A deployment has the rights of its own tenant; one whose desired state an operator has staged for all tenants has
 * those of an operator.
 */
import { createHash } from 'node:crypto';
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { SharedClock } from '@photoncloud/runtime/contract/clock';
import type { Command, Reply } from '@photoncloud/runtime/contract/envelope';
import { describeCause, PhotonError } from '@photoncloud/runtime/contract/errors';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { Journal } from '@photoncloud/runtime/contract/journal';
import type { Log } from '@photoncloud/runtime/contract/log';
import { NumberedSlots } from '@photoncloud/runtime/contract/numbered-slots';
import type { Random } from '@photoncloud/runtime/contract/random';
import type { Reader } from '@photoncloud/runtime/contract/reader';
import type { Principal } from '@photoncloud/runtime/control-api/access-rule';
import { objectOf } from '@photoncloud/runtime/control-api/actor-view';
import { defaultApiLimits } from '@photoncloud/runtime/control-api/api-limits';
import { sendCommand, type CommandPorts } from '@photoncloud/runtime/control-api/command-methods';
import type { SecretSealer } from '@photoncloud/runtime/control-api/secret-params';
import type { DeployerCommand, DeployerPort } from '../deployment/deployer-port.ts';

export interface NodeDeployerOptions {
  /** Asked for only when the node is up. */
  readonly registry: () => ActorRegistry;
  readonly reader: Reader;
  readonly rows: Journal['loadRows'];
  /** Sends a command to the actor's owner and waits for the reply. */
  readonly ask: (command: Command) => Promise<Reply>;
  readonly secrets?: SecretSealer | undefined;
  readonly clock: SharedClock;
  readonly random: Random;
  readonly log: Log;
}

function principalOf({ deployment, tenants }: DeployerCommand): Principal {
  const isAll = tenants === 'all';
  const scopes = isAll ? '*' : [partsOfId(deployment).tenant];
  return { id: deployment, name: deployment, scopes, admin: isAll };
}

function newTrace(random: Random): string {
  const hex = (digits: number): string =>
    Array.from({ length: digits }, () => Math.floor(random.fraction() * 16).toString(16)).join('');
  return `00-${hex(32)}-${hex(16)}-01`;
}

/** One reader of the feed for all deployments of a node, as long as there is one. */
class SharedFeed {
  readonly #reader: Reader;
  readonly #clock: SharedClock;
  readonly #log: Log;
  readonly #listeners = new Set<(id: string | null) => void>();
  #reading: AbortController | undefined;

  constructor({ reader, clock, log }: Pick<NodeDeployerOptions, 'reader' | 'clock' | 'log'>) {
    this.#reader = reader;
    this.#clock = clock;
    this.#log = log;
  }

  follow(onChange: (id: string | null) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#listeners.add(onChange);
    signal.addEventListener('abort', () => this.#leave(onChange), { once: true });
    if (this.#reading !== undefined) return;
    this.#reading = new AbortController();
    void this.#read(this.#reading.signal);
  }

  #leave(onChange: (id: string | null) => void): void {
    this.#listeners.delete(onChange);
    if (this.#listeners.size > 0) return;
    this.#reading?.abort();
    this.#reading = undefined;
  }

  #tell(id: string | null): void {
    for (const listener of this.#listeners) listener(id);
  }

  async #read(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const cursor = await this.#reader.now();
        // Whatever has changed before is looked at as a whole.
        this.#tell(null);
        await this.#reader.follow(cursor, ({ id }) => this.#tell(id), signal);
      } catch (error) {
        this.#log.debug({ why: describeCause(error) }, 'the feed is read anew for deployments');
        await new Promise<void>((resolve) => this.#clock.after(1_000, resolve));
      }
    }
  }
}

export function createNodeDeployer(options: NodeDeployerOptions): DeployerPort {
  const { reader, clock, random, ask, secrets } = options;
  const feed = new SharedFeed(options);
  const waits: CommandPorts['waits'] = new NumberedSlots();
  const portsOf = (): CommandPorts => ({
    registry: options.registry(),
    reader,
    ask,
    secrets,
    limits: defaultApiLimits,
    clock,
    waits,
  });
  return {
    async read(id) {
      const stored = await reader.get(actorId(id));
      if (stored === undefined) return undefined;
      const shown = objectOf(stored, { registry: options.registry(), isOperator: true });
      const { uid, version, lifecycle, stateName, spec, status, reason = null } = shown;
      return { uid, version, lifecycle, stateName, spec, status, reason };
    },
    async rows(actor, collection, keys) {
      const found = await options.rows(
        actor as ActorId,
        keys.map((key) => ({ collection, key })),
      );
      return keys.map((key) => {
        const value = found[`${collection}/${key}`] ?? null;
        if (value === null)
          throw new PhotonError('fault', 'row_missing', `${actor} has no row ${key} of ${collection}`, {
            public: true,
          });
        return value;
      });
    },
    async command(command) {
      const { to, verb, params, idempotencyKey, ifVersion, dryRun, waitMs } = command;
      const { kind, tenant: scope, name } = partsOfId(to);
      const asked = { scope, name, params, idempotencyKey, waitMs, ifVersion, dryRun };
      const sender = { principal: principalOf(command), trace: newTrace(random) };
      await sendCommand(portsOf(), sender, `${kind}.${verb}`, asked);
    },
    follow: (onChange, signal) => feed.follow(onChange, signal),
    digest: (text) => createHash('sha256').update(text).digest('hex'),
    now: () => clock.sharedMs(),
    async pause(ms, signal) {
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const cancel = clock.after(ms, resolve);
      const stop = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', stop, { once: true });
      try {
        await promise;
      } finally {
        cancel();
        signal.removeEventListener('abort', stop);
      }
    },
    fraction: () => random.fraction(),
  };
}
