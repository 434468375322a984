/**
 * The web app that the tenant of the six-node cluster declares: a VM with SQLite on the attached volume, behind a
 * service IP and an external address. Declares it, finds it, and takes it away; visit-writer.ts writes to it. Used by
 * the smoke and by the demo of the web app.
 */
import { join } from 'node:path';
import { photonLines, type PhotonCluster } from '../cluster/cluster-launch.ts';
import { checkout } from '../cluster/photon-commands.ts';
import { until } from '../cluster/process-identity.ts';
import { residueOf } from '../cluster/residue-check.ts';
import { answersAt, fetchPage, readGuest, type GuestFacts, type GuestPlace } from '../demo/guest-page.ts';
import { operatorReader, publicPlace } from '../demo/tenant-view.ts';
import { patienceMs, type SixNodes } from './six-node-boot.ts';
import { nodesOf } from './declared-cluster.ts';

export class WebApp {
  readonly #six: SixNodes;
  readonly #tenant: string;
  readonly #documents: readonly string[];
  readonly vm: string;
  readonly #address: string;

  /** @throws Error when no tenant of the cluster declares one */
  constructor(six: SixNodes) {
    const found = Object.entries(six.declared.tenants).find(([, { webApp }]) => webApp !== undefined);
    if (found?.[1].webApp === undefined) throw new Error('nix/cluster declares no web app');
    const [tenant, { documents, webApp }] = found;
    this.#six = six;
    this.#tenant = tenant;
    this.#documents = [...six.declared.documents, ...documents].flatMap((path) => ['-f', join(checkout, path)]);
    this.vm = webApp.vm;
    this.#address = webApp.address;
  }

  get #cluster(): PhotonCluster {
    return this.#six.cluster;
  }

  /** Runs the CLI as the operator, for the tenant. @returns the lines that it printed; each is passed on as it comes */
  async photon(argv: readonly string[], onLine: (line: string) => void = () => undefined): Promise<string[]> {
    const lines: string[] = [];
    const take = (line: string): void => {
      lines.push(line);
      onLine(line);
    };
    await photonLines(this.#cluster.clientFile, ['-t', this.#tenant, ...argv], take).catch((error: Error) => {
      throw new Error([error.message, ...lines.slice(-10)].join('\n'), { cause: error });
    });
    return lines;
  }

  /** Applies what operator and tenant declare, and waits for it. @returns a line for each object */
  async declare(onLine: (line: string) => void): Promise<string[]> {
    return await this.photon(['apply', ...this.#documents, '--wait'], onLine);
  }

  async place(): Promise<GuestPlace> {
    return await publicPlace(this.#cluster, `external-address/${this.#tenant}/${this.#address}`);
  }

  /** The node that the VM runs on, as its status says. */
  async host(): Promise<string> {
    const { status, stateName } = await operatorReader(this.#cluster)(`vm/${this.#tenant}/${this.vm}`);
    if (typeof status['host'] !== 'string') throw new Error(`${this.vm} is ${stateName} and on no host`);
    return status['host'];
  }

  /** Waits for the page. @param formerBoot id of a boot whose answers do not count */
  async answers(place: GuestPlace, formerBoot = ''): Promise<GuestFacts> {
    let facts: GuestFacts | undefined;
    const isNew = async (): Promise<boolean> => (facts = await readGuest(place, patienceMs)).boot_id !== formerBoot;
    await until('the guest has booted', isNew, patienceMs);
    await fetchPage(place, '/', patienceMs);
    return facts as GuestFacts;
  }

  /** The gateway that leads to the outside, as the external network says. */
  async leader(): Promise<string> {
    const { status } = await operatorReader(this.#cluster)('external-network/system/internet');
    return String(status['active']);
  }

  /** What no security group admits is not let in. @throws Error when it is */
  async isClosed(place: GuestPlace): Promise<void> {
    if (await answersAt(place, 22)) throw new Error(`port 22 of ${place.address} was answered`);
  }

  /** The volume of the VM: the serial under which its guest sees it, and the node that has its bytes. */
  async volume(): Promise<{ readonly serial: string; readonly host: string }> {
    const read = operatorReader(this.#cluster);
    const { status } = await read(`vm/${this.#tenant}/${this.vm}`);
    const [held] = status['volumes'] as readonly { readonly volume: string; readonly serial: string }[];
    if (held === undefined) throw new Error(`${this.vm} has no volume`);
    const { status: own } = await read(held.volume);
    return { serial: held.serial, host: String(own['host']) };
  }

  /** Deletes what was declared. @throws Error naming what is left on the hosts afterwards */
  async remove(): Promise<void> {
    await this.photon(['delete', ...this.#documents, '--yes']);
    const hosts = nodesOf(this.#six.declared, 'worker');
    let left: string[] = [];
    const isClean = async (): Promise<boolean> => (left = await residueOf(this.#cluster.topology, hosts)).length === 0;
    // A deletion is answered when the objects are gone; the kernel removes a namespace a moment later.
    await until('nothing is left on the hosts', isClean, 15_000).catch((error: unknown) => {
      throw new Error(`${String(error)}; there is:\n${left.join('\n')}`);
    });
  }
}
