/**
 * A host with a real systemd as its first process: namespaces of its own, and over the files of this machine a layer
 * that ends with it. So units have what only the systemd of a whole host applies: users, credentials, and all that
 * restricts a service. Used by hardened-units.test.ts. The kernel is that of this machine, its systemd older than
 * NixOS's.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '@photoncloud/runtime/journal/redis-for-tests';
import { childrenOf } from '../cluster/process-identity.ts';
import { removeGroups } from './running-systemd.ts';

const program = '/lib/systemd/systemd';
const group = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((place) => existsSync(join(place, 'cgroup.procs')));

export function whyNoHost(): string | undefined {
  if (process.getuid?.() !== 0) return 'namespaces need root';
  if (!existsSync(program)) return 'systemd is not installed';
  return group === undefined ? 'there is no hierarchy of control groups, version 2' : undefined;
}

/** Units of Debian that a host in namespaces has no use for. */
const masked = ['systemd-udevd.service', 'systemd-udev-trigger.service', 'systemd-binfmt.service', 'modprobe@.service'];

/** Devices that are those of this machine. */
const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'kvm', 'net/tun'];

const layer = (folder: string, given: string, checkout: string): string => `set -e
mount --make-rprivate /
mount -t tmpfs none ${folder}
cd ${folder}; mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=${folder}/upper,workdir=${folder}/work root
cd root
rm -rf etc/systemd/system; mkdir -p etc/systemd/system opt/photoncloud old
mount --bind ${checkout} opt/photoncloud; mount -o remount,bind,ro opt/photoncloud
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t cgroup2 none sys/fs/cgroup
for place in dev run tmp; do mount -t tmpfs -o mode=755 none $place; done; chmod 1777 tmp
mkdir -p dev/pts dev/shm dev/net; mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
mount -t tmpfs none dev/shm; ln -s /proc/self/fd dev/fd
for device in ${devices.join(' ')}; do
  if [ -e /dev/$device ]; then touch dev/$device; mount --bind /dev/$device dev/$device; fi
done
for unit in ${masked.join(' ')}; do ln -s /dev/null etc/systemd/system/$unit; done
ln -s /lib/systemd/system/multi-user.target etc/systemd/system/default.target
ip link set lo up
sh ${given}
pivot_root . old; umount -l old
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin ${program} --system --log-target=console --show-status=no`;

export class RunningHost {
  readonly #child: ChildProcess;
  readonly #group: string;
  #output = '';

  private constructor(folder: string, checkout: string, prepare: string) {
    this.#group = join(group ?? '', `photon-host-${process.pid}`);
    mkdirSync(this.#group);
    const [script, given, root] = [join(folder, 'host.sh'), join(folder, 'prepare.sh'), join(folder, 'host')];
    mkdirSync(root);
    writeFileSync(script, layer(root, given, checkout));
    writeFileSync(given, prepare);
    const own = ['--mount', '--uts', '--ipc', '--pid', '--net', '--cgroup', '--fork', '--kill-child'];
    const joining = 'echo 0 > "$0"/cgroup.procs && exec setpriv --pdeathsig KILL unshare "$@"';
    this.#child = spawn('sh', ['-c', joining, this.#group, ...own, 'sh', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
  }

  /**
   * @param folder of its own, empty
   * @param checkout stands at /opt/photoncloud of the host
   * @param prepare shell that lays its files, in its root folder, before systemd starts
   */
  static async start(folder: string, checkout: string, prepare: string): Promise<RunningHost> {
    const made = new RunningHost(folder, checkout, prepare);
    const isUp = () => /^(running|degraded|starting)$/.test(made.run('systemctl', 'is-system-running').stdout.trim());
    await until('systemd answers', isUp, 30_000).catch(async (error: unknown) => {
      await made.close();
      throw new Error(`${String(error)}\n${made.#output}`, { cause: error });
    });
    return made;
  }

  /** Runs a program on the host. */
  run(...argv: readonly string[]) {
    const [inner] = childrenOf(this.#child.pid ?? 0);
    const enter = ['-t', String(inner ?? 0), '-m', '-u', '-i', '-n', '-p', '-C', '--wdns=/', 'env', 'LC_ALL=C.UTF-8'];
    return spawnSync('nsenter', [...enter, ...argv], { encoding: 'utf8' });
  }

  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    await until(`${this.#group} is removed`, () => {
      try {
        removeGroups(this.#group);
        return true;
      } catch {
        return false; // Its processes are ending.
      }
    });
  }
}
