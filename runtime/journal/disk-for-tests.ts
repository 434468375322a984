/**
 * A small disk for a server under test, and its contents after a power cut: an ext4 file system in a file, mounted
 * through a loop device. Unsynced writes are in the kernel's memory and not in that file, so a copy of the file is the
 * disk after a cut. kill -9 does not have this effect, because the kernel keeps what was written.
 * Needs root. Never used outside of tests.
 */
import { execFile, execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const sizeText = '48M';

export class TestDisk {
  /** Where it is mounted. */
  readonly folder: string;
  readonly #home: string;
  /** So that a failed test leaves no mount. Lazy, because its server may still be running. */
  readonly #onExit = (): void => {
    execFileSync('umount', ['--lazy', this.folder]);
    rmSync(this.#home, { recursive: true });
  };

  private constructor(home: string) {
    this.#home = home;
    this.folder = join(home, 'mounted');
    process.on('exit', this.#onExit);
  }

  static async make(): Promise<TestDisk> {
    const home = await mkdtemp(join(tmpdir(), 'photon-disk-test-'));
    await run('truncate', ['-s', sizeText, join(home, 'image')]);
    await run('mkfs.ext4', ['-q', join(home, 'image')]);
    return TestDisk.#mount(home);
  }

  static async #mount(home: string): Promise<TestDisk> {
    const disk = new TestDisk(home);
    await mkdir(disk.folder);
    // The file system's periodic commit would write unsynced data.
    await run('mount', ['-o', 'loop,commit=300', join(home, 'image'), disk.folder]);
    return disk;
  }

  /** A copy of the disk as a power cut now would leave it. The server must be stopped (SIGSTOP) meanwhile. */
  async afterCut(): Promise<TestDisk> {
    const home = await mkdtemp(join(tmpdir(), 'photon-disk-test-'));
    await copyFile(join(this.#home, 'image'), join(home, 'image'));
    return TestDisk.#mount(home);
  }

  async remove(): Promise<void> {
    process.off('exit', this.#onExit);
    await run('umount', [this.folder]);
    await rm(this.#home, { recursive: true });
  }
}
