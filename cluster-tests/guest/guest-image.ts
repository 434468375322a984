/**
 * Builds the guest image: a Debian cloud kernel, and our own initramfs from Debian's busybox, sqlite3 and e2fsprogs
 * with a web app that counts visits on the attached volume. Needs neither network nor root. Called by the demo, the
 * bench and the tests; the result is kept under `.cache/guest/<digest of the inputs>`, so that the same inputs are
 * built once.
 *
 * The initramfs is not compressed: under software emulation unpacking costs more than loading.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, readdir, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { cpioArchive, type CpioEntry } from './cpio-archive.ts';

const run = promisify(execFile);
const checkout = resolve(import.meta.dirname, '../..');

export interface GuestImage {
  /** bzImage. */
  readonly kernel: string;
  /** cpio, newc, uncompressed. */
  readonly initrd: string;
  /** Kernel command line that this image is meant to be started with. */
  readonly commandLine: string;
  readonly folder: string;
}

export interface GuestImageOptions {
  /** An unpacked linux-image package: holds boot/vmlinuz-* and lib/modules. */
  readonly kernelFolder?: string;
  readonly cacheFolder?: string;
  /** With the QEMU guest agent: 3 MB more, which only one test needs. */
  readonly agent?: boolean;
}

/** In the order in which they must be loaded; built-in ones are left out. */
const moduleOrder = [
  'virtio_ring',
  'virtio',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'virtio-rng',
  'failover',
  'net_failover',
  'virtio_net',
  'virtio_blk',
  'evdev',
  'button',
];
/** Where the agent's port is. */
const agentModule = 'virtio_console';

const applets = [
  'sh',
  'cat',
  'cp',
  'dd',
  'echo',
  'expr',
  'grep',
  'head',
  'hostname',
  'insmod',
  'ip',
  'kill',
  'killall',
  'ls',
  'mkdir',
  'mount',
  'poweroff',
  'ps',
  'reboot',
  'rm',
  'sleep',
  'sync',
  'tail',
  'tr',
  'udhcpc',
  'umount',
  'uname',
  'vi',
  'ping',
  'dmesg',
  'free',
  'df',
  'top',
  'id',
  'stat',
  'md5sum',
  'sha256sum',
  'usleep',
  'nc',
  'arping',
  'od',
  'wc',
];

/** `quiet` and one UART keep console output small; the rest skips work that a short-lived guest does not need. */
export const guestCommandLine =
  'console=ttyS0 quiet panic=1 no_timer_check mitigations=off random.trust_cpu=on ' +
  '8250.nr_uarts=1 i8042.noaux i8042.nokbd raid=noautodetect audit=0 nokaslr ' +
  'cryptomgr.notests tsc=reliable lsm= rcupdate.rcu_expedited=1 nowatchdog';

async function findProgram(name: string): Promise<string> {
  for (const folder of ['/usr/bin', '/usr/sbin', '/bin', '/sbin']) {
    const path = join(folder, name);
    if (existsSync(path)) return await realpath(path);
  }
  throw new Error(`the guest needs ${name}, which is not installed: run the set-up (npm test does)`);
}

const agentFolder = join(checkout, '.cache/guest-agent');

/** The QEMU guest agent: what the set-up has unpacked, or that of this machine; undefined where there is none. */
export const findGuestAgent = (): string | undefined =>
  [join(agentFolder, 'usr/sbin'), '/usr/sbin', '/usr/bin'].map((folder) => join(folder, 'qemu-ga')).find(existsSync);

/** Shared objects a program needs, as [path in the guest, path here]; the loader is among them. */
async function librariesOf(program: string): Promise<[string, string][]> {
  // The set-up unpacks what this machine lacks.
  const unpacked = ['usr/lib', 'lib'].map((folder) => join(agentFolder, folder, 'x86_64-linux-gnu')).join(':');
  const env = program.startsWith(agentFolder) ? { ...process.env, LD_LIBRARY_PATH: unpacked } : process.env;
  const { stdout } = await run('ldd', [program], { timeout: 10_000, env });
  const paths = [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
  return paths.map((path): [string, string] =>
    path.includes('ld-linux') ? ['lib64/ld-linux-x86-64.so.2', path] : [`lib/${basename(path)}`, path],
  );
}

interface KernelFiles {
  readonly kernel: string;
  readonly modules: readonly [string, string][];
}

async function kernelFiles(folder: string, more: readonly string[]): Promise<KernelFiles> {
  const boot = join(folder, 'boot');
  const names = existsSync(boot) ? (await readdir(boot)).filter((name) => name.startsWith('vmlinuz-')).sort() : [];
  const name = names.at(-1);
  if (name === undefined) throw new Error(`no guest kernel in ${boot}: run npm test once, its set-up downloads one`);
  const release = name.slice('vmlinuz-'.length);
  const root = [join(folder, 'lib/modules', release), join(folder, 'usr/lib/modules', release)].find(existsSync);
  if (root === undefined) throw new Error(`${folder} has no modules for ${release}: remove it, set up again`);
  const listed = (await readFile(join(root, 'modules.builtin'), 'utf8')).split('\n');
  const builtin = new Set(listed.map((line) => basename(line, '.ko')));
  const paths = await readdir(root, { recursive: true });
  const files = new Map(paths.map((path) => [basename(path, '.ko'), join(root, path)]));
  const modules = [...moduleOrder, ...more]
    .filter((module) => !builtin.has(module))
    .map((module): [string, string] => {
      const path = files.get(module);
      if (path === undefined) throw new Error(`the kernel ${release} has no module ${module}, which the guest needs`);
      return [module, path];
    });
  return { kernel: join(boot, name), modules };
}

async function rootfsEntries(): Promise<CpioEntry[]> {
  const root = join(import.meta.dirname, 'rootfs');
  const paths = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return await Promise.all(
    paths.map(async (entry): Promise<CpioEntry> => {
      const path = join(entry.parentPath, entry.name);
      const program = entry.name === 'init' || entry.parentPath.endsWith('/bin');
      const mode = program ? 0o755 : 0o644;
      return { kind: 'file', path: path.slice(root.length + 1), mode, bytes: await readFile(path) };
    }),
  );
}

/** Every parent folder, so that the kernel can create the files. */
function withFolders(entries: readonly CpioEntry[]): CpioEntry[] {
  const folders = new Set(['dev', 'proc', 'sys', 'run', 'tmp', 'volume']);
  for (const { path } of entries) for (let at = dirname(path); at !== '.'; at = dirname(at)) folders.add(at);
  return [...[...folders].map((path): CpioEntry => ({ kind: 'folder', path })), ...entries];
}

const osRelease = 'ID=guest\nNAME="Guest of the tests"\nPRETTY_NAME="Guest of the tests 1"\n';

async function archiveEntries(kernel: KernelFiles, agent: string | undefined): Promise<CpioEntry[]> {
  const file = async (path: string, from: string, mode: number): Promise<CpioEntry> => ({
    kind: 'file',
    path,
    mode,
    bytes: await readFile(from),
  });
  const text = (path: string, content: string): CpioEntry => ({
    kind: 'file',
    path,
    mode: 0o644,
    bytes: Buffer.from(content),
  });
  const sqlite = await findProgram('sqlite3');
  const mke2fs = await findProgram('mke2fs');
  const programs = [sqlite, mke2fs, ...(agent === undefined ? [] : [agent])];
  const libraries = new Map((await Promise.all(programs.map(librariesOf))).flat());
  return withFolders([
    ...(await rootfsEntries()),
    await file('bin/busybox', await findProgram('busybox'), 0o755),
    await file('bin/sqlite3', sqlite, 0o755),
    await file('bin/mke2fs', mke2fs, 0o755),
    ...applets.map((applet): CpioEntry => ({ kind: 'link', path: `bin/${applet}`, target: 'busybox' })),
    ...(await Promise.all([...libraries].map(([path, from]) => file(path, from, 0o755)))),
    ...(await Promise.all(kernel.modules.map(([name, from]) => file(`modules/${name}.ko`, from, 0o644)))),
    text('etc/modules-order', kernel.modules.map(([name]) => `${name}\n`).join('')),
    text('etc/hostname', 'guest\n'),
    ...(agent === undefined ? [] : [await file('bin/qemu-ga', agent, 0o755), text('etc/os-release', osRelease)]),
    { kind: 'link', path: 'etc/resolv.conf', target: '/run/resolv.conf' },
    { kind: 'device', path: 'dev/console', major: 5, minor: 1 },
  ]);
}

/**
 * Builds the image or finds it built.
 * @throws Error naming what is missing (kernel, program) and what to run.
 */
export async function buildGuestImage(options: GuestImageOptions = {}): Promise<GuestImage> {
  const agent = options.agent === true ? findGuestAgent() : undefined;
  const more = agent === undefined ? [] : [agentModule];
  const kernel = await kernelFiles(options.kernelFolder ?? join(checkout, '.cache/guest-kernel'), more);
  const archive = cpioArchive(await archiveEntries(kernel, agent));
  const kernelBytes = await readFile(kernel.kernel);
  const digest = createHash('sha256').update(archive).update(kernelBytes).digest('hex').slice(0, 16);
  const cache = options.cacheFolder ?? join(checkout, '.cache/guest');
  const folder = join(cache, digest);
  if (!existsSync(folder)) {
    await mkdir(cache, { recursive: true });
    const fresh = await mkdtemp(join(cache, 'building-'));
    await copyFile(kernel.kernel, join(fresh, 'vmlinuz'));
    await writeFile(join(fresh, 'initrd.img'), archive);
    await writeFile(join(fresh, 'commandline'), `${guestCommandLine}\n`);
    await chmod(fresh, 0o755);
    // Two builders of the same inputs: the second finds the folder taken by an equal one.
    await rename(fresh, folder).catch(async (error: NodeJS.ErrnoException) => {
      await rm(fresh, { recursive: true });
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  }
  return { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.img'), commandLine: guestCommandLine, folder };
}
