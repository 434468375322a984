/**
 * The steps of `npm run cluster -- demo-vm-webapp` and `fresh-demo-vm-webapp`: a web app with SQLite on the volume of
 * a VM keeps every answered visit over a restart and over a migration to the other worker and back, while visits are
 * written from outside. The cluster is left running.
 */
import type { PhotonCluster } from '../cluster/cluster-launch.ts';
import { changesOf, type GuestFacts, type GuestPlace } from '../demo/guest-page.ts';
import { bootSixNodes, patienceMs, sixNodesOf, wholeIsReady, type SixNodes } from './six-node-boot.ts';
import type { RunRecord } from './six-node-run.ts';
import { seconds, type Step } from './step-list.ts';
import { VisitWriter } from './visit-writer.ts';
import { WebApp } from './web-app.ts';

interface Scene {
  readonly six: SixNodes;
  readonly app: WebApp;
}

interface Page {
  readonly place: GuestPlace;
  readonly writer: VisitWriter;
  readonly facts: GuestFacts;
}

export class WebAppDemo {
  readonly #record: RunRecord;
  #scene: Scene | undefined;
  #page: Page | undefined;

  constructor(record: RunRecord) {
    this.#record = record;
  }

  /** @param running a cluster that runs; undefined: from nothing */
  steps(running: PhotonCluster | undefined): Step[] {
    const boot = { name: 'boot, each after what it needs', work: (say: (line: string) => void) => this.#boot(say) };
    return [
      ...(running === undefined ? [boot] : []),
      { name: 'the whole cluster is ready', work: () => this.#wholeIsReady(running) },
      { name: 'apply what operator and tenant declare', work: (say) => this.#declare(say) },
      { name: 'the page from outside', work: () => this.#reach() },
      { name: 'visits on the volume', work: () => this.#visits() },
      { name: 'restart of the VM', work: () => this.#restart() },
      { name: 'migration to the other worker', work: () => this.#migrate() },
      { name: 'migration back', work: () => this.#migrate() },
      { name: 'every answered visit is there', work: () => this.#judge() },
    ];
  }

  /** The cluster, once there is one. */
  get cluster(): PhotonCluster | undefined {
    return this.#scene?.six.cluster;
  }

  /** Ends what this process does; the cluster goes on. */
  async close(): Promise<void> {
    await this.#page?.writer.stop();
  }

  #begin(six: SixNodes): void {
    this.#record.of(six.cluster.topology.prefix);
    this.#scene = { six, app: new WebApp(six) };
  }

  get #begun(): Scene {
    if (this.#scene === undefined) throw new Error('there is no cluster');
    return this.#scene;
  }

  get #reached(): Page {
    if (this.#page === undefined) throw new Error('the page was not reached');
    return this.#page;
  }

  async #boot(say: (line: string) => void): Promise<string> {
    const six = await bootSixNodes({ keep: true, say, failed: (prefix) => this.#record.keepLogs(prefix) });
    this.#begin(six);
    return `${Object.keys(six.declared.nodes).length} nodes`;
  }

  async #wholeIsReady(running: PhotonCluster | undefined): Promise<string> {
    if (running !== undefined) this.#begin(sixNodesOf(running));
    await wholeIsReady(this.#begun.six);
    return this.#begun.six.cluster.topology.prefix;
  }

  async #declare(say: (line: string) => void): Promise<string> {
    return `${(await this.#begun.app.declare(say)).length} objects`;
  }

  async #reach(): Promise<string> {
    const { app } = this.#begun;
    const place = await app.place();
    const facts = await app.answers(place);
    await app.isClosed(place);
    this.#page = { place, facts, writer: new VisitWriter(place) };
    return `http://${place.address}/, VM on ${await app.host()}; port 22 is closed`;
  }

  async #visits(): Promise<string> {
    const { writer, facts } = this.#reached;
    const { serial, host } = await this.#begun.app.volume();
    if (facts.volume_serial !== serial) throw new Error(`the guest sees volume ${facts.volume_serial}, not ${serial}`);
    writer.start();
    await writer.moreAnswers(10, patienceMs);
    return `${await this.#count()} answered and there; volume ${serial} on ${host}`;
  }

  async #count(): Promise<number> {
    const { writer } = this.#reached;
    await writer.stop();
    return await writer.judge();
  }

  /** Does something to the VM while visits are written. @returns what the visitors noticed */
  async #under(work: () => Promise<unknown>, wanted: 'a new boot' | 'the same boot'): Promise<string> {
    const { app } = this.#begun;
    const { writer, place, facts: before } = this.#reached;
    writer.start();
    await writer.moreAnswers(2, patienceMs);
    const at = performance.now();
    await work();
    const facts = await app.answers(place, wanted === 'a new boot' ? before.boot_id : '');
    await writer.moreAnswers(3, patienceMs);
    const { longestGapMs, unanswered } = writer.figures(at);
    const wrong = changesOf(before, facts, wanted);
    if (wrong.length > 0) throw new Error(wrong.join('; '));
    this.#page = { place, facts, writer };
    const count = await this.#count();
    return `${count} answered visits there, ${unanswered} unanswered meanwhile; longest gap ${seconds(longestGapMs)}`;
  }

  async #restart(): Promise<string> {
    const { app } = this.#begun;
    return await this.#under(() => app.photon(['vm', 'restart', app.vm]), 'a new boot');
  }

  async #migrate(): Promise<string> {
    const { app, six } = this.#begun;
    const from = await app.host();
    const to = six.workers.find((name) => name !== from) ?? '';
    let said: string[] = [];
    const work = async (): Promise<void> => {
      said = await app.photon(['vm', 'migrate', app.vm, '--to', to]);
    };
    const seen = await this.#under(work, 'the same boot');
    const host = await app.host();
    if (host !== to) throw new Error(`the VM is on ${host}, not on ${to}`);
    return `${said.at(-1)?.replace(/^.* moved /, '') ?? `${from} -> ${to}`}; ${seen}`;
  }

  async #judge(): Promise<string> {
    return `${await this.#count()} answered, all there, each once`;
  }
}
