/**
 * Looks at what can grow in a simulated cluster: at every input that a host lets in or turns away, and at all hosts
 * whenever the store has written. Judged by cluster-tests/checkers/kept-bounds.ts; used by runtime-scenario.ts.
 */
import type { Command, Message, Reply } from '@photoncloud/runtime/contract/envelope';
import type { Delivery } from '@photoncloud/runtime/contract/link';
import { defaultLimits, type HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import { checkEntry, checkFigures, checkRefusal, checkStreams, refusalOf } from '../checkers/kept-bounds.ts';
import { archiveCap, type SimulatedNode } from './simulated-node.ts';
import type { Simulation } from './simulation.ts';
import type { StoreEntry } from './store/simulated-server.ts';

/** A full house takes what nodes say themselves, and operators' verbs: what fills it may wait for just these. */
const endsWaiting = ({ principal, event }: Command): boolean =>
  principal === 'system' || event.type.startsWith('actor.');

export class BoundsWatch {
  private readonly simulation: Simulation;
  private readonly limits: HostLimits;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.limits = { ...defaultLimits, ...simulation.options.limits };
    simulation.store.onWrite((entry) => this.look(entry));
  }

  private look({ effects }: StoreEntry): void {
    const { server } = this.simulation;
    for (const { host } of this.simulation.nodes()) this.tell(checkFigures(host.figures(), this.limits));
    const lengthOf = (key: string): number => server.space.stream(key)?.entries.length ?? 0;
    const hot = this.simulation.options.archive === undefined ? undefined : archiveCap;
    this.tell(checkStreams(effects, lengthOf, hot));
  }

  /** From the start of a node on: the node's own calls come through here as well. */
  watch({ host }: SimulatedNode): void {
    const entered = <Answer extends Delivery | Reply | { readonly moved: true }>(
      enter: () => Promise<Answer>,
      isCommand: boolean,
    ): Promise<Answer> => {
      const before = host.figures();
      const answered = enter();
      this.tell(checkEntry(before, host.figures(), this.limits, isCommand));
      return answered.then((answer) => {
        const refusal = refusalOf(answer);
        if (refusal === undefined) return answer;
        this.simulation.reach(`told ${refusal.word}`);
        this.tell(checkRefusal(refusal));
        return answer;
      });
    };
    const deliver = host.deliver.bind(host);
    const command = host.command.bind(host);
    Object.assign(host, {
      deliver: (message: Message) => entered(() => deliver(message), false),
      command: (asked: Command) => entered(() => command(asked), !endsWaiting(asked)),
    });
  }

  private tell(broken: readonly string[]): void {
    for (const what of broken) this.simulation.violate(what);
  }
}
