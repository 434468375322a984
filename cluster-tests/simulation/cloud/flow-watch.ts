/**
 * Clients outside who keep TCP flows to external addresses open while everything else happens. A flow lasts as long as
 * its external address is attached to the same port; meanwhile its packets may be lost, and those that arrive arrive at
 * this port, and the answers come from the address that was asked (K23). Used by cloud-scenario.ts.
 */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import type { Simulation } from '../simulation.ts';
import { roundTrip, type Underlay } from './simulated-flows.ts';
import { storedActors } from './stored-actors.ts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

const lookEveryMs = 1_500;

/** An external address that leads to a port. */
interface Attachment {
  readonly external: string;
  /** Changes whenever it may lead elsewhere. */
  readonly version: string;
  readonly port: string;
  /** Address in the VPC. */
  readonly target: string;
}

interface Flow extends Attachment {
  readonly id: string;
  /** The host by which it went at last. */
  gateway: string;
  lost: boolean;
}

export class FlowWatch {
  private readonly simulation: Simulation;
  private readonly underlay: Underlay;
  /** By external address. */
  private readonly flows = new Map<string, Flow>();
  private count = 0;

  constructor(simulation: Simulation, underlay: Underlay) {
    this.simulation = simulation;
    this.underlay = underlay;
  }

  begin(): void {
    this.simulation.time.after(lookEveryMs, undefined, 'flows', () => {
      this.look();
      this.begin();
    });
  }

  private look(): void {
    const attached = attachmentsIn(storedActors(this.simulation.server));
    for (const [external, { version }] of this.flows)
      if (!attached.some((one) => one.external === external && one.version === version)) this.flows.delete(external);
    for (const one of attached) {
      const flow = this.flows.get(one.external);
      if (flow === undefined) this.open(one);
      else this.send(flow);
    }
  }

  private open(attachment: Attachment): void {
    const id = `flow ${(this.count += 1)}`;
    const passage = roundTrip(this.underlay, id, attachment.external);
    if ('lost' in passage || passage.port !== attachment.port) return;
    this.simulation.reach('a flow through an external address was opened');
    this.flows.set(attachment.external, { ...attachment, id, gateway: passage.gateway, lost: false });
  }

  private send(flow: Flow): void {
    const { simulation } = this;
    const passage = roundTrip(this.underlay, flow.id, flow.external);
    if ('lost' in passage) {
      flow.lost = true;
      return;
    }
    const { port, source, gateway } = passage;
    const what = `a flow to ${flow.external}, which leads to ${flow.port} all the time,`;
    if (port !== flow.port) simulation.violate(`K23: ${what} arrived at ${port} by ${gateway}`);
    if (source !== flow.external) simulation.violate(`K23: ${what} was answered from ${source} by ${gateway}`);
    if (flow.gateway !== gateway) simulation.reach('a flow went on by another gateway host');
    else if (flow.lost) simulation.reach('a flow went on after packets were lost');
    flow.gateway = gateway;
    flow.lost = false;
  }
}

/**
 * External addresses that lead to ports. Of several with one target only the lowest: a port sends with that one, so
 * flows to the others may break when a gateway host without their entry meets an answer first.
 */
function attachmentsIn(actors: readonly StoredActor[]): readonly Attachment[] {
  const all = actors.flatMap(({ id, uid, state, status, context }): Attachment[] => {
    if (!id.startsWith('external-address/') || status !== 'live' || state !== 'attached') return [];
    const { address, attached, followed, revision } = fields(context);
    const { vpc, inside } = fields(attached);
    if (typeof address !== 'string' || typeof followed !== 'string' || !followed.startsWith('port/')) return [];
    const target = `${String(vpc)} ${String(inside)}`;
    return [{ external: address, version: `${uid} ${String(revision)} ${target}`, port: followed, target }];
  });
  const isLowest = ({ external, target }: Attachment): boolean =>
    !all.some((one) => one.target === target && one.external < external);
  return all.filter(isLowest);
}
