/**
 * How a worker asks the agent of its host (`photon nix-agent run`), and how a controller sees it from outside. The
 * agent is another process, which a switch of the host does not end; they meet in its files. Nothing here waits for a
 * step of a rollout longer than its record says, and all of it may be done again after a crash.
 */
import { existsSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { PeerLinks } from '@photoncloud/runtime/transport/peer-links';
import { z } from 'zod';
import type { FollowAnswer, FollowAsk } from '../../rollout/rollout-port.ts';
import { RolloutFolder } from './rollout-files.ts';

/** Route of a worker; the id of a request follows. */
export const nixAgentPath = '/nix-agent/';

const pollMs = 250;
/** An agent that runs takes a request within a second. */
const takenMs = 30_000;

export class AskedAgent {
  readonly #path: string;
  readonly #host: string;
  readonly #folder: RolloutFolder;

  /** @param path folder of the agent */
  constructor(path: string, host: string) {
    this.#path = path;
    this.#host = host;
    this.#folder = new RolloutFolder(path);
  }

  /** @see RolloutPort.follow */
  async follow(ask: FollowAsk, signal: AbortSignal): Promise<FollowAnswer> {
    this.#tell(ask);
    const { request, seen } = ask;
    const endMs = performance.now() + takenMs;
    for (;;) {
      const record = this.#folder.record();
      if (record?.id === request.id && record.state !== seen) return { state: record.state, why: record.why };
      if (record?.id !== request.id && this.#folder.desired()?.id !== request.id) throw this.#superseded();
      if (seen === null && performance.now() > endMs) {
        const next = `start photoncloud-nix-agent on ${this.#host}`;
        return { state: null, why: `nobody has taken the request for ${takenMs / 1_000} s; ${next}` };
      }
      await pause(pollMs, undefined, { signal });
    }
  }

  /** @throws PhotonError defeat `no_nix_agent`, `request_superseded` */
  #tell({ request: { id, system, from, askedAt }, order }: FollowAsk): void {
    if (!existsSync(this.#path)) {
      const next = 'enable services.photoncloud.nixAgent there';
      throw new PhotonError('defeat', 'no_nix_agent', `${this.#host} has no nix-agent (${this.#path}); ${next}`);
    }
    const desired = this.#folder.desired();
    if (desired?.id !== id && this.#folder.record()?.id !== id) {
      // Also the request of a person on the host, who may mend there what a rollout has broken.
      if (desired !== undefined && desired.askedAt > askedAt) throw this.#superseded();
      this.#folder.request({ id, system, from, hold: true, askedAt });
    }
    if (order === 'abort') this.#folder.abort(id);
    if (order === 'activate' || order === 'confirm') this.#folder.activate(id);
    if (order === 'confirm') this.#folder.confirm(id);
  }

  #superseded(): PhotonError {
    const why = `the nix-agent of ${this.#host} was asked for another system meanwhile; photon nix-agent status there`;
    return new PhotonError('defeat', 'request_superseded', why);
  }

  /** Says how far the agent is with a request; the peer server has checked the caller's certificate. */
  serve(id: string, response: ServerResponse): void {
    const record = this.#folder.record();
    if (record?.id !== id) return void response.writeHead(404).end();
    const { state } = record;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ state }));
    return undefined;
  }
}

const answerSchema = z.object({ state: z.string() });
/** Packets of a host that lets nobody in may be dropped without an answer. */
const reachMs = 8_000;

/** @see RolloutPort.reach: every request of `links.get` opens a connection of its own */
export async function reachAgent(links: PeerLinks, host: string, id: string, signal: AbortSignal): Promise<void> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(reachMs)]);
  const answer = await text(await links.get(host, `${nixAgentPath}${id}`, inTime));
  const { state } = answerSchema.parse(JSON.parse(answer));
  if (state === 'awaiting-confirmation' || state === 'confirmed') return;
  throw new PhotonError('fault', 'agent_not_waiting', `the agent of ${host} is ${state}`);
}
