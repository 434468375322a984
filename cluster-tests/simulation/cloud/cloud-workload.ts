/**
 * What tenants do in the cloud simulation: they make, start, stop and delete things under few names and in a network
 * with few addresses, two clients at a time on the same VM, and ask again with the same key when they hear nothing.
 * Commands go through the control API's own command methods. Every answer is kept for the checkers.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { CloudWorld } from './cloud-world.ts';
import { imageRoot } from './cloud-world.ts';
import { SeededRandom } from './cloud-time.ts';

export interface Answer {
  readonly atMs: number;
  readonly tenant: string;
  readonly method: string;
  readonly name: string;
  readonly key: string;
  readonly params: unknown;
  readonly outcome: 'ok' | 'rejected' | 'unknown';
  /** The result, or the error's code. */
  readonly said: unknown;
}

type Wish = readonly [method: string, name: string, params: unknown];

/** A client gives up an answer after so long and asks again, with the same key, elsewhere. */
const patienceMs = 35_000;
const tries = 4;

export class CloudWorkload {
  readonly answers: Answer[] = [];
  readonly tenants: readonly string[];
  private readonly world: CloudWorld;
  private readonly random: SeededRandom;
  /** What a client believes to be there: `<tenant> <kind> <name>`. */
  private readonly there = new Set<string>();
  private keys = 0;
  private running = false;
  /** Requests without a final answer yet. */
  open = 0;

  constructor(world: CloudWorld, tenants: number) {
    this.world = world;
    this.random = new SeededRandom(world.options.seed, 'workload');
    this.tenants = Array.from({ length: tenants }, (_, at) => `tenant-${at + 1}`);
  }

  /** What every tenant has before the day begins. */
  async prepare(): Promise<void> {
    for (const tenant of this.tenants) {
      void this.ask(tenant, ['tenant.create', tenant, {}]);
    }
    await this.world.time.runUntil(this.world.time.nowMs + 5_000);
    for (const tenant of this.tenants) {
      for (const wish of [this.network('front'), this.network('back'), ...this.images()]) void this.ask(tenant, wish);
    }
    await this.world.time.runUntil(this.world.time.nowMs + 10_000);
  }

  /** Each tenant has two impatient clients. */
  begin(meanMs: number): void {
    this.running = true;
    for (const tenant of this.tenants) for (let client = 0; client < 2; client += 1) this.plan(tenant, meanMs);
  }

  end(): void {
    this.running = false;
  }

  private plan(tenant: string, meanMs: number): void {
    this.world.time.after(this.random.wait(meanMs), () => {
      if (!this.running) return;
      this.plan(tenant, meanMs);
      const old = this.random.chance(0.04) ? this.random.pick(this.answers) : undefined;
      if (old !== undefined) void this.ask(old.tenant, [old.method, old.name, old.params], old.key);
      else void this.ask(tenant, this.wish(tenant));
    });
  }

  private network(name: string): Wish {
    const cidr = name === 'front' ? '10.0.0.0/28' : '10.0.1.0/28';
    return ['network.create', name, { subnets: [{ name: 'a', cidr }] }];
  }

  private images(): Wish[] {
    const image = (name: string, file: string, format: string): Wish => [
      'image.create',
      name,
      { source: { path: `${imageRoot}/${file}` }, format },
    ];
    return [image('kernel', 'vmlinuz', 'kernel'), image('initrd', 'initrd', 'initrd'), image('base', 'disk', 'raw')];
  }

  private vm(name: string): Wish {
    const { random } = this;
    const networks = random.chance(0.3) ? ['front', 'back'] : ['front'];
    const params = {
      cpus: 1,
      memoryMib: 256,
      restart: random.pick(['always', 'on-failure', 'never']),
      running: random.chance(0.85),
      host: random.chance(0.15) ? random.pick(this.world.workerNames) : null,
      nics: networks.map((network, at) => ({ name: `eth${at}`, network })),
      disks: random.chance(0.4) ? [{ volume: random.pick(volumes) }] : [],
      boot: { kernel: 'kernel', initrd: 'initrd' },
    };
    return ['vm.create', name, params];
  }

  /** Mostly what can be: makes what is not there, and asks of what is. Now and then the other way round. */
  private named(tenant: string, kind: string, names: readonly string[], there: boolean): string {
    const fitting = names.filter((name) => this.there.has(`${tenant} ${kind} ${name}`) === there);
    return fitting.length > 0 && !this.random.chance(0.12) ? this.random.pick(fitting) : this.random.pick(names);
  }

  private wish(tenant: string): Wish {
    const { random } = this;
    const graceMs = random.pick([0, 500, 5_000]);
    const vm = this.named(tenant, 'vm', vms, true);
    const wishes: readonly (readonly [number, () => Wish])[] = [
      [24, () => this.vm(this.named(tenant, 'vm', vms, false))],
      [13, () => ['vm.delete', vm, {}]],
      [10, () => ['vm.start', vm, {}]],
      [9, () => ['vm.stop', vm, { graceMs }]],
      [8, () => ['vm.restart', vm, { graceMs }]],
      [7, () => this.volume(this.named(tenant, 'volume', volumes, false))],
      [4, () => ['volume.delete', this.named(tenant, 'volume', volumes, true), {}]],
      [10, () => this.port(this.named(tenant, 'port', ports, false))],
      [8, () => ['port.delete', this.named(tenant, 'port', ports, true), {}]],
      [1, () => ['network.delete', random.pick(['front', 'back']), {}]],
      [2, () => this.network(random.pick(['front', 'back']))],
      [1, () => ['image.delete', random.pick(['kernel', 'base']), {}]],
      [2, () => random.pick(this.images())],
    ];
    let roll = random.fraction() * wishes.reduce((sum, [weight]) => sum + weight, 0);
    const chosen = wishes.find(([weight]) => (roll -= weight) < 0) ?? wishes[0];
    return (chosen as (typeof wishes)[number])[1]();
  }

  private volume(name: string): Wish {
    const image = this.random.chance(0.5) ? 'base' : null;
    return ['volume.create', name, { sizeMib: 8, image }];
  }

  private port(name: string): Wish {
    const host = this.random.chance(0.5) ? this.random.pick(this.world.workerNames) : null;
    return ['port.create', name, { network: 'front', host }];
  }

  /** Asks until there is a final answer, or gives up and leaves it open for ever. */
  async ask(tenant: string, [method, name, params]: Wish, known?: string): Promise<Answer> {
    const key = known ?? `k${(this.keys += 1)}`;
    this.open += 1;
    let answer: Answer | undefined;
    for (let attempt = 1; attempt <= tries; attempt += 1) {
      const { outcome, said } = await this.once(tenant, method, name, params, key);
      answer = { atMs: this.world.time.nowMs, tenant, method, name, key, params, outcome, said };
      if (outcome !== 'unknown') break;
      await this.pause(200 + this.random.fraction() * 2_000);
    }
    this.open -= 1;
    const [kind = '', verb] = method.split('.');
    if (answer?.outcome === 'ok' && verb === 'create') this.there.add(`${tenant} ${kind} ${name}`);
    if (answer?.outcome === 'ok' && verb === 'delete') this.there.delete(`${tenant} ${kind} ${name}`);
    this.answers.push(answer as Answer);
    return answer as Answer;
  }

  private once(
    tenant: string,
    method: string,
    name: string,
    params: unknown,
    key: string,
  ): Promise<Pick<Answer, 'outcome' | 'said'>> {
    const nodes = this.world.liveControllers();
    const silence = this.pause(patienceMs).then(() => ({ outcome: 'unknown', said: 'silence' }) as const);
    if (nodes.length === 0) return silence;
    const envelope = { tenant, name, idempotencyKey: key, params };
    const principal = { id: 'p', name: 'client', tenants: '*' as const, admin: true };
    const asked = this.random
      .pick(nodes)
      .command(method, envelope, { principal, trace: '' })
      .then(
        (result) => ({ outcome: 'ok', said: result }) as const,
        (error: unknown) => {
          if (!(error instanceof PhotonError)) throw error;
          const { group, code } = error.record;
          return { outcome: group === 'unknown' ? 'unknown' : 'rejected', said: code } as const;
        },
      );
    return Promise.race([asked, silence]);
  }

  private pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.world.time.after(delayMs, resolve));
  }
}

const vms = ['vm-1', 'vm-2', 'vm-3', 'vm-4'];
const volumes = ['disk-1', 'disk-2'];
const ports = Array.from({ length: 9 }, (_, at) => `port-${at + 1}`);
