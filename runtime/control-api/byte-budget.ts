/**
 * How many bytes of this node's memory watches and unsent frames may hold, per scope and per principal. What holds them
 * says so in bytes; whoever is over is given nothing more and has to read first: its watches pause or begin anew, its
 * sessions pause (frame-sender.ts, watch-subscription.ts). Nobody else notices.
 */
import { payerOf, type Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';

type BudgetLimits = Pick<ApiLimits, 'bytesPerScope' | 'bytesPerPrincipal'>;

/** What one thing holds. */
export interface HeldBytes {
  set(bytes: number): void;
  /** Whether its scope or its principal is over. */
  isOver(): boolean;
}

export class ByteBudget {
  readonly #limits: BudgetLimits;
  readonly #used = new Map<string, number>();

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
  }

  hold(principal: Principal): HeldBytes {
    const payer = payerOf(principal);
    // The name of a principal may be that of a scope; neither has a colon.
    const own = `:${principal.name}`;
    let held = 0;
    return {
      set: (bytes) => {
        this.#add(payer, bytes - held);
        this.#add(own, bytes - held);
        held = bytes;
      },
      isOver: () => this.of(payer) > this.#limits.bytesPerScope || this.of(own) > this.#limits.bytesPerPrincipal,
    };
  }

  of(name: string): number {
    return this.#used.get(name) ?? 0;
  }

  total(): number {
    return [...this.#used].reduce((sum, [name, bytes]) => (name.startsWith(':') ? sum + bytes : sum), 0);
  }

  #add(name: string, bytes: number): void {
    const used = this.of(name) + bytes;
    if (used === 0) this.#used.delete(name);
    else this.#used.set(name, used);
  }
}
