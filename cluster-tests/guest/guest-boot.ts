/**
 * Boots the guest image on a bare QEMU, without the product: one node of a topology with a bridge, dnsmasq and a tap.
 * Used by guest-image.test.ts.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readToolchain } from '../bench/toolchain-file.ts';
import { Topology, socketIn } from '../cluster/cluster-topology.ts';
import { startProgram } from '../cluster/node-program.ts';
import { signal, until, type ProcessIdentity } from '../cluster/process-identity.ts';
import { buildGuestImage, type GuestImage } from './guest-image.ts';

const node = 'bare';
const guestMac = '02:00:00:00:77:0b';
export const guestAddress = '10.9.0.9';
export const volumeSerial = 'abcdefghij2345672345';

export class GuestBoot {
  readonly topology: Topology;
  readonly #guest: GuestImage;

  private constructor(topology: Topology, guest: GuestImage) {
    this.topology = topology;
    this.#guest = guest;
  }

  /** Makes bridge, tap, dnsmasq and a blank volume; `start` starts QEMU. */
  static async prepare(volumeMib = 64): Promise<GuestBoot> {
    const guest = await buildGuestImage();
    const topology = await Topology.create({ stem: 'guest', nodes: [node] });
    const boot = new GuestBoot(topology, guest);
    writeFileSync(boot.path('volume.raw'), '');
    truncateSync(boot.path('volume.raw'), volumeMib << 20);
    const links = [
      'link add name b0 type bridge forward_delay 0',
      'addr add 10.9.0.1/24 dev b0',
      'link set b0 up',
      'tuntap add t0 mode tap',
      'link set t0 master b0 up',
    ];
    writeFileSync(boot.path('links'), `${links.join('\n')}\n`);
    await topology.exec(node, ['ip', '-batch', 'links']);
    await startProgram(topology, node, 'dnsmasq', [
      'dnsmasq',
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--port=0',
      '--no-resolv',
      '--no-hosts',
      '--interface=b0',
      '--bind-interfaces',
      '--except-interface=lo',
      '--dhcp-range=10.9.0.0,static,255.255.255.0,1h',
      `--dhcp-host=${guestMac},${guestAddress},web-1,1h`,
      '--dhcp-option=3,10.9.0.1',
      '--dhcp-option=26,1400',
      '--dhcp-authoritative',
      '--no-ping',
      '--leasefile-ro',
      '--pid-file=',
      '--user=root',
      '--log-facility=-',
    ]);
    return boot;
  }

  /** Path on this machine of a file in the node's folder. */
  path(name: string): string {
    return join(this.topology.node(node).folder, name);
  }

  get console(): string {
    return readFileSync(this.path('console'), 'utf8').replaceAll('\r', '');
  }

  /** Starts QEMU on the volume. */
  async start(): Promise<ProcessIdentity> {
    const { qemu } = readToolchain();
    const { kernel, initrd, commandLine } = this.#guest;
    const argv = [
      qemu.binary,
      ...(qemu.libDir === undefined ? [] : ['-L', qemu.libDir]),
      '-M',
      'q35',
      '-accel',
      'tcg',
      '-cpu',
      'qemu64,+rdrand,+rdseed',
      '-m',
      '128',
      '-smp',
      '1',
      '-nodefaults',
      '-no-user-config',
      '-display',
      'none',
      '-serial',
      'file:console',
      '-kernel',
      kernel,
      '-initrd',
      initrd,
      '-append',
      commandLine,
      '-netdev',
      'tap,id=n0,ifname=t0,script=no,downscript=no',
      '-device',
      `virtio-net-pci,netdev=n0,mac=${guestMac},romfile=`,
      '-blockdev',
      'driver=file,filename=volume.raw,node-name=f0',
      '-blockdev',
      'driver=raw,file=f0,node-name=d0',
      '-device',
      `virtio-blk-pci,drive=d0,serial=${volumeSerial}`,
      '-qmp',
      'unix:qmp,server=on,wait=off',
    ];
    return await startProgram(this.topology, node, 'qemu', argv);
  }

  /** One HTTP request from the bridge. */
  async ask(method: string, path: string, timeoutSeconds = 5): Promise<{ status: number; body: string }> {
    const address = `http://${guestAddress}${path}`;
    const curl = ['curl', '-s', '-m', String(timeoutSeconds), '-X', method, '-w', '\n%{http_code}', address];
    const text = await this.topology.exec(node, ['sh', '-c', '"$@" || true', 'curl', ...curl]);
    const at = text.lastIndexOf('\n');
    return { status: Number(text.slice(at + 1)), body: text.slice(0, at) };
  }

  /** Waits until the guest answers. @returns the JSON of /state */
  async ready(timeoutMs = 60_000): Promise<Record<string, unknown>> {
    let answer = { status: 0, body: '' };
    const answers = async (): Promise<boolean> => (answer = await this.ask('GET', '/state', 2)).status === 200;
    await until('the guest answers', answers, timeoutMs);
    return JSON.parse(answer.body) as Record<string, unknown>;
  }

  /** Presses the ACPI power button over QMP. */
  async pressPower(): Promise<void> {
    const socket = connect(socketIn(this.topology, node, 'qmp'));
    const answers = createInterface({ input: socket });
    for (const execute of ['qmp_capabilities', 'system_powerdown']) socket.write(`${JSON.stringify({ execute })}\n`);
    let seen = 0;
    for await (const line of answers) if (line.includes('"return"') && ++seen === 2) break;
    socket.destroy();
  }

  /** Kills QEMU, as in a crash of the host. */
  async kill(qemu: ProcessIdentity): Promise<void> {
    signal(qemu, 'SIGKILL');
    await this.topology.exec(node, ['true']);
  }

  async end(): Promise<void> {
    await this.topology.stop(0);
  }
}
