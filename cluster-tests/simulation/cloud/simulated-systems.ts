/**
 * The agents of the simulated hosts (`photon nix-agent`), which bring a host to a system by themselves: they go on when
 * the worker of the host dies, die themselves now and then, and start again. A step may fail; a switch that nobody
 * confirms is taken back. What happens to a host is noted as facts. Used by cloud-hosts.ts.
 */
import type { RolloutPort } from '@photoncloud/actors/rollout/rollout-port';
import type { AgentState } from '@photoncloud/machines/host-rollout/host-rollout-protocol';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { KernelFact } from '../../checkers/kernel-facts.ts';
import type { Chance } from '../seeded-random.ts';
import type { SimulatedProcess } from '../simulated-process.ts';
import type { Simulation } from '../simulation.ts';

const confirmMs = 12_000;
const pollMs = 250;
const untaken = 10_000;

const harmless: readonly AgentState[] = ['received', 'fetched', 'verified'];
const ends: readonly AgentState[] = ['confirmed', 'refused', 'rolled-back', 'failed'];

/** The steps of a request, each with how often it fails. */
const steps: Readonly<Partial<Record<AgentState, readonly [next: AgentState, fails: number]>>> = {
  received: ['fetched', 0.03],
  fetched: ['verified', 0.03],
  staged: ['activating', 0.01],
  activating: ['probing', 0.06],
  probing: ['awaiting-confirmation', 0.06],
};

interface Desired {
  readonly id: string;
  readonly askedAt: number;
}

class SimulatedAgent {
  desired: Desired | undefined;
  record: { readonly id: string; readonly state: AgentState } | undefined;
  readonly allowed = new Set<string>();
  readonly confirmed = new Set<string>();
  readonly aborted = new Set<string>();
  private readonly host: string;
  private readonly simulation: Simulation;
  private readonly random: Chance;
  private readonly note: (fact: KernelFact) => void;
  private confirmBy = 0;

  constructor(host: string, simulation: Simulation, note: (fact: KernelFact) => void) {
    this.host = host;
    this.simulation = simulation;
    this.random = simulation.chance.split(`nix-agent ${host}`);
    this.note = note;
  }

  start(): void {
    this.simulation.time.after(this.random.around(400), undefined, 'nix-agent', () => {
      this.step();
      this.start();
    });
  }

  private enter(state: AgentState): void {
    const { id = '' } = this.record ?? {};
    this.record = { id, state };
    this.note({ atMs: this.simulation.time.nowMs, host: this.host, fact: 'system.step', request: id, state });
    if (state === 'awaiting-confirmation') this.confirmBy = this.simulation.time.nowMs + confirmMs;
    if (ends.includes(state)) this.simulation.reach(`a system was ${state}`);
  }

  /** It has died and started again since: what may have been changed is taken back. */
  private begin(): void {
    this.simulation.reach('a nix-agent died during a rollout');
    const { id = '', state = 'received' } = this.record ?? {};
    this.record = { id, state: 'received' };
    if (!harmless.includes(state)) this.enter('rolling-back');
  }

  private step(): void {
    const { record, desired, random } = this;
    if (record === undefined || ends.includes(record.state)) {
      if (desired === undefined || desired.id === record?.id) return;
      this.record = { id: desired.id, state: 'received' };
      return;
    }
    if (random.happens(0.01)) return this.begin();
    const { id, state } = record;
    const isOver = this.aborted.has(id);
    if (harmless.includes(state) && (isOver || desired?.id !== id)) return this.enter('refused');
    if (state === 'verified') return this.allowed.has(id) ? this.enter('staged') : undefined;
    if (state === 'rolling-back') return this.enter(random.happens(0.03) ? 'failed' : 'rolled-back');
    if (state === 'awaiting-confirmation') {
      if (this.confirmed.has(id)) return this.enter('confirmed');
      return isOver || this.simulation.time.nowMs > this.confirmBy ? this.enter('rolling-back') : undefined;
    }
    const [next, fails] = steps[state] ?? [state, 0];
    if (isOver || random.happens(fails)) return this.enter(harmless.includes(state) ? 'refused' : 'rolling-back');
    return this.enter(next);
  }
}

export class SimulatedSystems {
  private readonly agents = new Map<string, SimulatedAgent>();
  private readonly simulation: Simulation;

  constructor(simulation: Simulation, hosts: readonly string[], note: (fact: KernelFact) => void) {
    this.simulation = simulation;
    for (const host of hosts) {
      const agent = new SimulatedAgent(host, simulation, note);
      this.agents.set(host, agent);
      agent.start();
    }
  }

  private agentOf(host: string): SimulatedAgent {
    const agent = this.agents.get(host);
    if (agent === undefined) throw new TypeError(`${host} has no agent`);
    return agent;
  }

  /** For the worker of a host. */
  follow(host: string, { clock }: SimulatedProcess): RolloutPort['follow'] {
    const agent = this.agentOf(host);
    return async ({ request: { id, askedAt }, order, seen }, signal) => {
      const { desired } = agent;
      const gone = (): PhotonError => new PhotonError('defeat', 'request_superseded', `${host} was asked otherwise`);
      if (desired?.id !== id && agent.record?.id !== id) {
        if (desired !== undefined && desired.askedAt > askedAt) throw gone();
        agent.desired = { id, askedAt };
      }
      if (order === 'abort') agent.aborted.add(id);
      if (order === 'activate' || order === 'confirm') agent.allowed.add(id);
      if (order === 'confirm') agent.confirmed.add(id);
      const endMs = clock.monotonicMs() + untaken;
      for (;;) {
        const { record } = agent;
        if (record?.id === id && record.state !== seen) return { state: record.state, why: `it is ${record.state}` };
        if (record?.id !== id && agent.desired?.id !== id) throw gone();
        if (seen === null && clock.monotonicMs() > endMs) return { state: null, why: 'nobody has taken it' };
        await new Promise<void>((resolve) => clock.after(pollMs, resolve));
        signal.throwIfAborted();
      }
    };
  }

  /** For a controller: whether the host can be reached now, and waits. */
  reach(from: string): RolloutPort['reach'] {
    return async (host, id) => {
      await Promise.resolve();
      const isUp = this.simulation.node(host) !== undefined && this.simulation.echoes(from, host);
      const { record } = this.agentOf(host);
      const waits = record?.id === id && ['awaiting-confirmation', 'confirmed'].includes(record.state);
      if (!isUp || !waits) throw new PhotonError('fault', 'peer_unreachable', `${host} cannot be reached`);
    };
  }
}
