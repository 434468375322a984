/**
 * Clients of the simulated cluster: they send a command to a node, repeat it under the same id at another node when no
 * answer comes, and record the answers. An outcome is `ok` or `fail` only when an answer said so; otherwise it stays
 * `info`: the command may or may not have been applied. Used by every scenario; checkers compare the records with the
 * store.
 */
import type { ActorEvent, Command, Reply } from '@photoncloud/runtime/contract/envelope';
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { Chance } from './seeded-random.ts';
import { wallStartMs } from './simulated-process.ts';
import type { Simulation } from './simulation.ts';

export interface ClientRecord {
  readonly command: Command;
  readonly invokedMs: number;
  outcome: 'ok' | 'fail' | 'info';
  endedMs: number | undefined;
  reply: Reply | undefined;
  tries: number;
  /** The earlier command that this one repeats; the answers must be the same. */
  readonly repeats: ClientRecord | undefined;
}

const answerTimeoutMs = 6_000;
const patienceMs = 25_000;
/** Error codes after which a client sends the command again, because nothing was decided. */
const undecided = new Set(['overloaded', 'no_answer', 'quarantined', 'recovering', 'frozen']);

export class SimulatedClients {
  readonly records: ClientRecord[] = [];
  private readonly simulation: Simulation;
  private readonly chance: Chance;
  private readonly levels: Chance;
  private openCount = 0;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.chance = simulation.chance.split('clients');
    this.levels = simulation.chance.split('levels');
  }

  /** How many commands are neither answered nor given up. */
  get open(): number {
    return this.openCount;
  }

  /** @param onEnd called once, when the outcome is known or the client has given up */
  ask(to: ActorId, event: ActorEvent, principal: string, onEnd: (record: ClientRecord) => void = () => {}): void {
    const madeMs = Math.floor(wallStartMs + this.simulation.time.nowMs);
    const commandId = `${principal}-${madeMs}-${this.records.length}`;
    const command = { to, commandId, digest: JSON.stringify(event), principal, event };
    const asksLevel = this.simulation.options.replicas?.commandsAskLevels === true;
    this.start(asksLevel ? { ...command, ...this.anyLevel() } : command, undefined, onEnd);
  }

  private anyLevel(): Pick<Command, 'durability'> {
    const durability = this.levels.pick([undefined, 'primary', 'replicas'] as const);
    return durability === undefined ? {} : { durability };
  }

  repeat(record: ClientRecord): void {
    this.start(record.command, record, () => {});
  }

  private start(command: Command, repeats: ClientRecord | undefined, onEnd: (record: ClientRecord) => void): void {
    const invokedMs = this.simulation.time.nowMs;
    const record: ClientRecord = {
      command,
      invokedMs,
      outcome: 'info',
      endedMs: undefined,
      reply: undefined,
      tries: 0,
      repeats,
    };
    this.records.push(record);
    this.openCount += 1;
    this.askOnce(record, onEnd);
  }

  private end(record: ClientRecord, outcome: ClientRecord['outcome'], reply: Reply | undefined): void {
    record.outcome = outcome;
    record.reply = reply;
    record.endedMs = this.simulation.time.nowMs;
    this.openCount -= 1;
    const { commandId, to, event } = record.command;
    this.simulation.note('client', `${commandId} ${event.type} to ${to}: ${outcome} ${JSON.stringify(reply ?? null)}`);
  }

  private askOnce(record: ClientRecord, onEnd: (record: ClientRecord) => void): void {
    const { time } = this.simulation;
    if (time.nowMs - record.invokedMs > patienceMs) {
      this.end(record, 'info', undefined);
      return onEnd(record);
    }
    record.tries += 1;
    let over = false;
    const again = (delayMs: number): void => {
      if (over) return;
      over = true;
      time.after(delayMs, undefined, 'client asks again', () => this.askOnce(record, onEnd));
    };
    time.after(answerTimeoutMs, undefined, 'client timeout', () => again(this.chance.around(200)));
    const node = this.chance.pick(this.simulation.nodes());
    if (node === undefined) return again(500);
    time.after(this.chance.around(1), node.process, 'client asks', () => {
      void node.host.ask(record.command).then((reply) => {
        const answer = JSON.parse(JSON.stringify(reply)) as Reply;
        time.after(this.chance.around(1), undefined, 'client answer', () => {
          if (over) return;
          if (!answer.ok && undecided.has(answer.error.code)) return again(answer.error.retryAfterMs ?? 500);
          if (!answer.ok && answer.error.code === 'command_too_old')
            this.simulation.reach('a command whose answer may have been dropped');
          over = true;
          this.end(record, answer.ok ? 'ok' : 'fail', answer);
          onEnd(record);
        });
      });
    });
  }
}
