/**
 * Appends blocks to the newest chunk of one folder; when `append` returns, the blocks were synced to disk. There is one
 * writer per folder, because the node's folder is locked. Every process begins a new chunk, which names the verified
 * end of the chunk before. So a tail that a crash has torn needs no repair: no pointer leads into it.
 *
 * After a failed write (disk full) the chunk is truncated to its former end and the call throws; the next try goes on
 * there. Called by history-archiver.ts only; upholds G10 (docs/promises.md).
 */
import { join } from 'node:path';
import { PhotonError, describeCause } from '../contract/errors.ts';
import { systemPlatform, type ArchiveFile, type ArchivePlatform } from './archive-platform.ts';
import { chainStart, encodeBlock, chunkName, chunkOf, type ChunkHead } from './chunk-format.ts';
import { readThrough } from './chunk-reader.ts';
import type { RunPlace } from './history-run.ts';

/** Size of the lines of one block before compression. */
const blockBytes = 256 * 1024;
const defaultChunkBytes = 64 * 1024 * 1024;

export interface WriterOptions {
  readonly folder: string;
  readonly node: string;
  /** A chunk of this size or more gets a successor. Default: 64 MiB. */
  readonly chunkBytes?: number;
  readonly platform?: ArchivePlatform;
}

interface OpenChunk {
  readonly file: ArchiveFile;
  readonly chunk: number;
  bytes: number;
  chain: Buffer;
}

export class ChunkWriter {
  readonly #options: WriterOptions;
  readonly #platform: ArchivePlatform;
  #open: OpenChunk | undefined;
  /** The end of the newest sealed chunk; undefined until the folder was read. */
  #last: ChunkHead['follows'] | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#platform = options.platform ?? systemPlatform;
  }

  /**
   * @returns the place of each line, in order, once all of them were synced to disk
   * @throws PhotonError fault `archive_unwritable`; then none of the lines counts as written
   */
  async append(lines: readonly string[]): Promise<readonly RunPlace[]> {
    let at: OpenChunk | undefined;
    try {
      at = await this.#chunk();
      return await this.#write(at, lines);
    } catch (cause) {
      const { folder } = this.#options;
      if (at !== undefined) await this.#cutOff(at);
      throw new PhotonError(
        'fault',
        'archive_unwritable',
        `history cannot be written to ${folder} (${describeCause(cause)}); free space there, or make it writable`,
        { cause },
      );
    }
  }

  async #write(at: OpenChunk, lines: readonly string[]): Promise<readonly RunPlace[]> {
    const places: RunPlace[] = [];
    let { bytes, chain } = at;
    for (const block of blocksOf(lines)) {
      const encoded = await encodeBlock(block, chain, this.#platform);
      await writeAll(at.file, encoded.bytes, bytes);
      for (const line of block.keys()) {
        places.push({ node: this.#options.node, chunk: at.chunk, offset: bytes, line });
      }
      bytes += encoded.bytes.length;
      ({ chain } = encoded);
    }
    await at.file.datasync();
    at.bytes = bytes;
    at.chain = chain;
    return places;
  }

  /** Truncates the chunk after a failed write. If that fails too, the chunk is never written again. */
  async #cutOff(at: OpenChunk): Promise<void> {
    try {
      await at.file.truncate(at.bytes);
      await at.file.datasync();
    } catch {
      await this.#seal(at);
    }
  }

  async #seal(at: OpenChunk): Promise<void> {
    this.#last = { chunk: at.chunk, bytes: at.bytes, chain: at.chain.toString('hex') };
    this.#open = undefined;
    // All that counts was synced before, so an error of close() does not matter.
    await at.file.close().catch(() => {});
  }

  async #chunk(): Promise<OpenChunk> {
    if (this.#open !== undefined && this.#open.bytes >= (this.#options.chunkBytes ?? defaultChunkBytes)) {
      await this.#seal(this.#open);
    }
    this.#last ??= await this.#newest();
    this.#open ??= await this.#begin(this.#last);
    return this.#open;
  }

  async #newest(): Promise<ChunkHead['follows']> {
    const { folder } = this.#options;
    await this.#platform.makeFolder(folder);
    const chunks = (await this.#platform.namesIn(folder)).map(chunkOf).filter((chunk) => chunk !== undefined);
    if (chunks.length === 0) return null;
    const chunk = Math.max(...chunks);
    const { bytes, chain } = await readThrough(folder, chunk, this.#platform);
    return { chunk, bytes, chain: chain.toString('hex') };
  }

  async #begin(follows: ChunkHead['follows']): Promise<OpenChunk> {
    const { folder, node } = this.#options;
    const chunk = (follows?.chunk ?? 0) + 1;
    const head: ChunkHead = { node, chunk, follows };
    const { bytes, chain } = await encodeBlock([JSON.stringify(head)], chainStart, this.#platform);
    const path = join(folder, chunkName(chunk));
    const file = await this.#platform.open(path, 'wx');
    try {
      await writeAll(file, bytes, 0);
      await file.datasync();
      await this.#platform.syncFolder(folder);
    } catch (error) {
      await file.close();
      await this.#platform.unlink(path);
      throw error;
    }
    return { file, chunk, bytes: bytes.length, chain };
  }

  async close(): Promise<void> {
    if (this.#open !== undefined) await this.#seal(this.#open);
  }
}

function* blocksOf(lines: readonly string[]): Generator<readonly string[]> {
  let block: string[] = [];
  let size = 0;
  for (const line of lines) {
    if (block.length > 0 && size + line.length > blockBytes) {
      yield block;
      block = [];
      size = 0;
    }
    block.push(line);
    size += line.length;
  }
  if (block.length > 0) yield block;
}

async function writeAll(file: ArchiveFile, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
