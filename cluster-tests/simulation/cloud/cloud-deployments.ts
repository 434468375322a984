/**
 * A tenant of some seeds of the cloud simulation who declares its objects: two deployments whose files name the same
 * few objects are applied in any order, adopt, prune and are deleted, while somebody changes and deletes objects by
 * hand. At the end of a run one of them is applied once more, and its second plan must be empty (K28). Draws from a
 * stream of its own. Used by cloud-scenario.ts.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '@photoncloud/machines/values/failures';
import type { Chance } from '../seeded-random.ts';
import type { ClientRecord } from '../simulated-clients.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudWorkload, Request } from './cloud-workload.ts';
import { storedActors } from './stored-actors.ts';

const tenant = 'tenant-1';
const client = 'declarer';
const beginMs = 20_000;
const meanMs = 2_000;
const againMs = 3_000;
/** Part of the seeds. */
const share = 0.5;
const names = ['web', 'ops'];
const sets = ['set-1', 'set-2', 'set-3'];
const groups = ['rules-1', 'rules-2'];
const ports = ['declared-1', 'declared-2'];
const networks = ['near', 'away'];

interface Declared {
  readonly kind: string;
  readonly name: string;
  readonly spec: object;
}
interface Given {
  readonly prune?: boolean;
  readonly adopt?: boolean;
}

const resultOf = ({ reply }: ClientRecord): { readonly digest?: string; readonly phase?: string } =>
  reply?.ok === true ? ((reply.result ?? {}) as { digest?: string; phase?: string }) : {};

export class CloudDeployments {
  /** One after the other, in a cloud without faults. */
  readonly checks: readonly (() => void)[];
  private readonly simulation: Simulation;
  private readonly workload: CloudWorkload;
  private readonly random: Chance;
  private readonly isUsed: boolean;
  private asking = true;
  /** Steps of the final checks that have begun and not ended. */
  private open = 0;
  private last: readonly Declared[] = [];

  constructor(simulation: Simulation, workload: CloudWorkload) {
    this.simulation = simulation;
    this.workload = workload;
    this.random = simulation.chance.split('deployments');
    this.isUsed = this.random.happens(share);
    this.checks = this.isUsed ? [() => this.applyLast(), () => this.breakByHand(), () => this.planAgain()] : [];
  }

  start(): void {
    if (this.isUsed) this.later(beginMs, () => this.plan());
  }

  stop(): void {
    this.asking = false;
  }

  /** @returns undefined when it waits for nothing */
  get unsettled(): string | undefined {
    return this.open === 0 ? undefined : 'the last deployment is still being carried out';
  }

  private later(delayMs: number, task: () => void): void {
    this.simulation.time.after(delayMs, undefined, 'deployments', task);
  }

  private plan(): void {
    this.later(this.random.around(meanMs), () => {
      if (!this.asking) return;
      this.act();
      this.plan();
    });
  }

  private act(): void {
    const { random } = this;
    const name = random.pick(names);
    if (random.happens(0.4)) return this.byHand();
    if (random.happens(0.1)) return this.ask(['deployment.delete', name, {}]);
    const given = { prune: random.happens(0.6), adopt: random.happens(0.4) };
    const declaration = this.declaration(name, random.pick(['report', 'enforce']), random.happens(0.5));
    this.rollOut(declaration, name, this.draw(), given, () => {});
  }

  private declaration(name: string, mode: string, prune: boolean): Request {
    return ['deployment.apply', name, { mode, prune, maxDeletes: manyDeletes, readyWithinS: 5 }];
  }

  /** As `photon apply -f`: declares the deployment, stages the text, has a plan made, and carries it out. */
  private rollOut(
    declaration: Request,
    name: string,
    objects: readonly Declared[],
    given: Given,
    then: (record: ClientRecord) => void,
  ): void {
    const text = canonicalJson({ schemaVersion: 1, objects });
    const digest = createHash('sha256').update(text).digest('hex');
    const staging = { digest, schemaVersion: 1, part: 1, parts: 1, text };
    this.inOrder(
      [declaration, ['deployment.stage', name, staging], ['deployment.plan', name, { digest, ...given }]],
      (made) => {
        const { digest: plan, phase } = resultOf(made);
        if (phase !== undefined) this.simulation.reach(`a plan was ${phase}`);
        if (phase !== 'ready' && phase !== 'empty') return then(made);
        this.ask(['deployment.execute', name, { plan, allowDeletes: manyDeletes }], then);
      },
    );
  }

  /** @param then told of the last one, or of the first that was not done */
  private inOrder([request, ...more]: readonly Request[], then: (record: ClientRecord) => void): void {
    if (request === undefined) return;
    this.ask(request, (record) => {
      if (record.outcome !== 'ok' || more.length === 0) then(record);
      else this.inOrder(more, then);
    });
  }

  private ask(request: Request, then: (record: ClientRecord) => void = () => {}): void {
    this.workload.ask(tenant, request, client, (record) => {
      if (record.outcome === 'ok') this.simulation.reach(`${request[0]} was accepted`);
      then(record);
    });
  }

  private byHand(): void {
    const { kind, name, spec } = this.random.pick(this.every());
    const verb = this.random.pick(['apply', 'create', 'delete']);
    this.ask([`${kind}.${verb}`, name, verb === 'delete' ? {} : spec]);
  }

  /** One declaration for each object that there may be. */
  private every(): readonly Declared[] {
    const { random } = this;
    const cidrs = (): readonly string[] => [random.pick(['192.0.2.0/24', '198.51.100.0/24'])];
    const rules = (): readonly object[] => [{ direction: random.pick(['ingress', 'egress']) }];
    const all = [
      ...sets.map((name) => ({ kind: 'address-set', name, spec: { cidrs: cidrs() } })),
      ...groups.map((name) => ({ kind: 'security-group', name, spec: { rules: rules() } })),
      ...networks.map((name, at) => ({ kind: 'network', name, spec: { subnets: [{ cidr: `10.0.${8 + at}.0/26` }] } })),
      // A port cannot change its network: it is replaced.
      ...ports.map((name) => ({ kind: 'port', name, spec: { network: random.pick(networks) } })),
    ];
    return all;
  }

  /** Some of them, with what they name. */
  private draw(): readonly Declared[] {
    const chosen = this.every().filter(() => this.random.happens(0.6));
    const named = new Set(chosen.map(({ spec }) => (spec as { network?: string }).network));
    const missing = this.every().filter(
      (one) => one.kind === 'network' && named.has(one.name) && !chosen.some(({ name }) => name === one.name),
    );
    return [...chosen, ...missing];
  }

  // Final checks

  /** The one deployment that is left takes over everything, and repairs from now on. */
  private applyLast(): void {
    this.last = this.draw();
    const [name = '', ...others] = names;
    this.begin((done) => {
      const gone = others.map((other): Request => ['deployment.delete', other, {}]);
      this.untilDone(['tenant.create', tenant, {}], () => this.untilGone(gone, () => this.rollOutLast(name, done)));
    });
  }

  private rollOutLast(name: string, done: () => void): void {
    const declaration = this.declaration(name, 'enforce', true);
    this.rollOut(declaration, name, this.last, { prune: true, adopt: true }, (record) => {
      if (record.outcome === 'ok' && record.command.event.type === 'deployment.execute') return done();
      this.later(againMs, () => this.rollOutLast(name, done));
    });
  }

  private breakByHand(): void {
    const set = this.last.find(({ kind }) => kind === 'address-set' || kind === 'security-group');
    if (set === undefined) return;
    const { kind, name } = set;
    this.begin((done) =>
      this.ask([`${kind}.delete`, name, {}], () => this.untilBack(`${kind}/${tenant}/${name}`, done)),
    );
  }

  /** It is looked at now and then only, and repaired then. */
  private untilBack(id: string, done: () => void): void {
    const isBack = storedActors(this.simulation.server).some((one) => one.id === id && one.status === 'live');
    if (isBack) done();
    else this.later(againMs, () => this.untilBack(id, done));
  }

  private planAgain(): void {
    const [name = ''] = names;
    this.begin((done) => this.look(name, done));
  }

  private look(name: string, done: () => void): void {
    const text = canonicalJson({ schemaVersion: 1, objects: this.last });
    const digest = createHash('sha256').update(text).digest('hex');
    this.ask(['deployment.plan', name, { digest, prune: true }], (record) => {
      const { phase } = resultOf(record);
      if (phase === undefined) return this.later(againMs, () => this.look(name, done));
      if (phase !== 'empty') this.simulation.violate(`K28: the second plan of ${name} is ${phase} in a settled cloud`);
      done();
    });
  }

  private begin(work: (done: () => void) => void): void {
    this.open += 1;
    work(() => (this.open -= 1));
  }

  private untilDone(request: Request, then: () => void): void {
    this.ask(request, ({ outcome }) => {
      if (outcome === 'ok') then();
      else this.later(againMs, () => this.untilDone(request, then));
    });
  }

  /** What does not exist is gone. */
  private untilGone([request, ...more]: readonly Request[], then: () => void): void {
    if (request === undefined) return then();
    this.ask(request, ({ reply }) => {
      const isGone = reply?.ok === true || reply?.error.code === 'not_found';
      if (isGone) this.untilGone(more, then);
      else this.later(againMs, () => this.untilGone([request, ...more], then));
    });
  }
}

const manyDeletes = 100;
