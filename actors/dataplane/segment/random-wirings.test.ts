/**
 * Random sequences on the real kernel, from a seed, against a model that is a few maps: ports are wired, get other
 * groups, move to another address, and go; routes, groups and members change; devices and routes are deleted by hand;
 * the worker dies, and the next one is told everything anew; a call of an earlier owner comes late. After each step the
 * kernel is what the model says: read by the product, and by `ip`, `bridge` and `nft` without it.
 * PHOTON_STEPS is the number of steps, PHOTON_SEED the seed.
 */
// needs: kernel
// time limit: 120 s
// test limit: 100 s
import { mkdtempSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GroupRule } from '@photoncloud/machines/values/group-rules';
import type { Elements, TapSpec } from '@photoncloud/machines/values/wiring';
import type { Dataplane } from '../contract/dataplane-contract.ts';
import { inOwnNamespaces, makeTestFolder, nextCall, openRule, ownerOf, run } from '../dataplane-for-tests.ts';
import { realized, segmentAsk, tapSpec, testOptions, type TestSegment } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';

const steps = Number(process.env['PHOTON_STEPS'] ?? 60);
const seed = Number(process.env['PHOTON_SEED'] ?? Date.now() % 1_000_000);
const places = [11, 12, 13, 14, 15];
const remotes = ['10.77.1.101', '10.77.1.102', '10.77.1.103'];
const groupNames = ['a', 'b', 'c'].map((name) => `security-group/acme/${name}`);

/** Numbers below 1, by a linear congruence. */
function randomFrom(start: number): () => number {
  let state = start % 2_147_483_647 || 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
const random = randomFrom(seed);
const below = (limit: number): number => Math.floor(random() * limit);
const one = <Item>(items: readonly Item[]): Item => items[below(items.length)] as Item;
const some = <Item>(items: readonly Item[]): Item[] => items.filter(() => random() < 0.5);

class World {
  dp: Dataplane;
  namespace = '';
  readonly #folder: string;
  /** The model. */
  readonly ports = new Map<number, TapSpec>();
  readonly routes = new Map<string, number>();
  readonly members = new Map<string, readonly string[]>();
  readonly rules = new Map<string, readonly GroupRule[]>(groupNames.map((id) => [id, [openRule('egress')]]));
  #generation = 1;
  #lives = 0;
  readonly #abandoned: Dataplane[] = [];

  constructor(dp: Dataplane, folder: string) {
    this.dp = dp;
    this.#folder = folder;
  }

  ask(): ReturnType<typeof segmentAsk> {
    const segment: Partial<TestSegment> = {
      routes: [...this.routes].map(([address, host]) => ({ address, host })),
      peers: [2, 3].map((index) => ({ name: `w${index}`, index, underlay: `127.0.0.${index}`, underlayMtu: 1500 })),
      groups: Object.fromEntries(this.rules),
      members: Object.fromEntries(this.members),
      generation: this.#generation,
    };
    return segmentAsk(segment);
  }

  async realize(): Promise<void> {
    this.#generation += 1;
    this.namespace = (await realized(this.dp, this.ask())).namespace;
  }

  async #change(section: string, put: Elements, removed: Elements = {}): Promise<void> {
    const to = (this.#generation += 1);
    const { segment } = this.ask();
    const outcome = await this.dp.changeSegment({ segment, changes: [{ section, to, put, removed }] }, nextCall());
    assert.equal(outcome.failed, {}, section);
  }

  async wire(place: number): Promise<void> {
    const known = this.ports.get(place);
    this.#lives += known === undefined ? 1 : 0;
    const spec =
      known === undefined
        ? tapSpec(place, {
            owner: ownerOf(`binding/acme/web-${place}.eth0@w1`, 1, `01LIFE${this.#lives}`),
            groups: some(groupNames),
            // Never that of another place.
            address: one([`10.77.1.${place}`, `10.77.1.${place + 40}`]),
          })
        : { ...known, groups: some(groupNames) };
    if (known === undefined) await this.dp.createTap(spec, nextCall());
    const proof = await this.dp.wireTap(spec, nextCall());
    assert.equal([...proof.groups].sort(), [...spec.groups].sort());
    this.ports.set(place, spec);
    // The address may have been on another host before.
    this.routes.delete(spec.address);
  }

  async remove(place: number): Promise<void> {
    const spec = this.ports.get(place);
    if (spec === undefined) return;
    await this.dp.removeTap(spec, nextCall());
    this.ports.delete(place);
  }

  async route(): Promise<void> {
    const [address, host] = [one(remotes), one([2, 3])];
    const before = this.routes.get(address);
    if (before !== undefined && random() < 0.5) {
      await this.#change('routes', {}, { [address]: { address, host: before } });
      this.routes.delete(address);
    } else {
      await this.#change('routes', { [address]: { address, host } });
      this.routes.set(address, host);
    }
  }

  async member(): Promise<void> {
    const [address, groups] = [`10.77.1.${one(places)}`, some(groupNames)];
    const before = this.members.get(address);
    if (before !== undefined && random() < 0.5) {
      await this.#change('group-members', {}, { [address]: { groups: before } });
      this.members.delete(address);
    } else {
      await this.#change('group-members', { [address]: { groups } });
      this.members.set(address, groups);
    }
  }

  async rule(): Promise<void> {
    const id = one(groupNames);
    const remote = one([null, { group: one(groupNames) }, { cidr: '10.77.1.0/24' }]);
    const rules = some<GroupRule>([openRule('egress'), { ...openRule('ingress'), remote }]);
    await this.#change('security-groups', { [id]: { rules } });
    this.rules.set(id, rules);
  }

  /** The process ends anywhere; the next one has another folder of its own and hears everything from its actors. */
  async crash(): Promise<void> {
    this.#abandoned.push(this.dp);
    this.dp = await createDataplane(testOptions(mkdtempSync(`${this.#folder}/`)));
    await this.realize();
    for (const spec of this.ports.values()) await this.dp.wireTap(spec, nextCall());
  }

  /** What a hand deletes; the actors hear of it from their watches, and ask again. */
  async vandalize(): Promise<void> {
    const victim = one([...this.ports.values()]);
    const inside = (...argv: string[]): Promise<string> => this.inside(...argv);
    if (victim === undefined || random() < 0.3) await inside('ip', 'link', 'delete', 'vx0');
    else if (random() < 0.5) await inside('ip', 'route', 'delete', `${victim.address}/32`);
    else await inside('nft', 'flush', 'set', 'bridge', 'port', 'macs');
    await this.realize();
    for (const spec of this.ports.values()) await this.dp.wireTap(spec, nextCall());
  }

  /** A call of an earlier owner of the shard changes nothing. */
  async late(): Promise<void> {
    const spec = one([...this.ports.values()]);
    if (spec === undefined) return;
    const stale = nextCall({ ownerEpoch: 0 });
    const outcome = await this.dp.removeTap(spec, stale).then(
      () => 'done',
      () => 'refused',
    );
    assert.is(outcome, 'refused');
  }

  inside(...argv: string[]): Promise<string> {
    return run('nsenter', `--net=/run/netns/${this.namespace}`, ...argv);
  }

  /** Everything that differs between kernel and model. */
  async differences(): Promise<readonly string[]> {
    const reading = await this.dp.readSegment(this.ask(), nextCall());
    const found = Object.entries(reading.drift).map(([section, drift]) => `${section}: ${drift.join(', ')}`);
    for (const spec of this.ports.values()) {
      const { drift } = await this.dp.readTap(spec, nextCall());
      if (drift.length > 0) found.push(`${spec.port}: ${drift.join(', ')}`);
    }
    const compare = (what: string, actual: readonly string[], wanted: readonly string[]): void => {
      const [is, should] = [[...actual].sort().join(' '), [...wanted].sort().join(' ')];
      if (is !== should) found.push(`${what}: ${is || 'none'}, wanted ${should || 'none'}`);
    };
    const specs = [...this.ports.values()];
    const routes = (await this.inside('ip', 'route')).split('\n').map((line) => line.split(' '));
    const held = routes.filter(([to = '', via]) => /^10\.77\.1\.\d+$/.test(to) && via === 'dev');
    const led = routes.filter(([to = '', via]) => /^10\.77\.1\.\d+$/.test(to) && via === 'via');
    compare(
      'addresses of this host',
      held.map(([to = '']) => to),
      specs.map(({ address }) => address),
    );
    const wanted = [...this.routes].map(([address, host]) => `${address}>169.254.64.${host}`);
    compare(
      'routes to other hosts',
      led.map(([to, , via]) => `${to}>${via}`),
      wanted,
    );
    const taps = (await this.inside('ip', '-o', 'link', 'show', 'type', 'tun')).split('\n').filter(Boolean);
    if (taps.length !== specs.length) found.push(`${taps.length} taps for ${specs.length} ports`);
    const macs = await this.inside('nft', 'list', 'set', 'bridge', 'port', 'macs');
    compare(
      'admitted MACs',
      macs.match(/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g) ?? [],
      specs.map(({ mac }) => mac),
    );
    for (const map of ['ingress_ports', 'egress_ports']) {
      const elements = await this.inside('nft', 'list', 'map', 'inet', 'sg', map);
      compare(
        map,
        elements.match(/10\.77\.1\.\d+/g) ?? [],
        specs.map(({ address }) => address),
      );
    }
    return found;
  }

  async close(): Promise<void> {
    for (const dp of [...this.#abandoned, this.dp]) await dp.close();
  }
}

inOwnNamespaces(import.meta.filename, () => {
  test('a VPC whose vx0 was deleted by hand is whole after one call', async () => {
    const { folder, remove } = makeTestFolder();
    const dp = await createDataplane(testOptions(folder));
    try {
      const { namespace, vxlanIfindex } = await realized(dp);
      // `ip` knows the device by now.
      assert.equal((await dp.readSegment(segmentAsk(), nextCall())).drift, {});
      await run('ip', '-n', namespace, 'link', 'delete', 'vx0');
      assert.is.not((await realized(dp)).vxlanIfindex, vxlanIfindex);
    } finally {
      await dp.close();
      remove();
    }
  });

  test(`${steps} random steps leave in the kernel exactly what they ask for`, async () => {
    const { folder, remove } = makeTestFolder();
    const world = new World(await createDataplane(testOptions(mkdtempSync(`${folder}/`))), folder);
    const wire = (): Promise<void> => world.wire(one(places));
    const removal = (): Promise<void> => world.remove(one(places));
    const often: readonly (readonly [string, () => Promise<void>])[] = [
      ['wire', wire],
      ['wire', wire],
      ['remove', removal],
      ['route', () => world.route()],
      ['member', () => world.member()],
      ['rule', () => world.rule()],
    ];
    const rarely: typeof often = [
      ['crash', () => world.crash()],
      ['vandalize', () => world.vandalize()],
      ['late', () => world.late()],
      ['realize', () => world.realize()],
    ];
    const history: string[] = [];
    try {
      await world.realize();
      for (let step = 0; step < steps; step += 1) {
        const [name, perform] = one(random() < 0.75 ? often : rarely);
        history.push(name);
        await perform();
        assert.equal(await world.differences(), [], `seed ${seed}: ${history.join(' ')}`);
      }
    } finally {
      await world.close();
      remove();
    }
    console.log(`seed ${seed}: ${history.join(' ')}`);
  });
});

test.run();
