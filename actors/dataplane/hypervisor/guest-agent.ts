/**
 * What the QEMU guest agent in a guest says of its system and addresses, asked when somebody wants to know it and kept
 * nowhere. Called by qemu-operations.ts.
 * The guest is hostile by assumption (docs/threats.md#t94). It is read on demand, a line of at most `lineBytes` at a
 * time and `allBytes` in all, for at most `withinMs`; one question at a time is put to a guest, and all who ask
 * meanwhile get its answer. What it says is cut to printable characters and to a few short values. Whatever it does
 * instead of answering is no error, but a guest that does not answer.
 */
import { randomInt } from 'node:crypto';
import net from 'node:net';
import { z } from 'zod';
import type { GuestInterface, GuestReading } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf } from '../kernel-errors.ts';
import { latestRun } from './qemu-console.ts';

const withinMs = 2_000;
export const lineBytes = 64 << 10;
export const allBytes = 256 << 10;
/** What was not read of former answers. */
const staleLines = 8;
const textLimit = 128;
const interfaceLimit = 16;
const addressLimit = 16;

export const silentGuest: GuestReading = {
  answers: false,
  system: null,
  kernel: null,
  hostName: null,
  interfaces: null,
};

export class GuestAgents {
  readonly #site: DataplaneSite;
  /** Incarnation -> the question that is being asked. */
  readonly #asked = new Map<string, Promise<GuestReading>>();

  constructor(site: DataplaneSite) {
    this.#site = site;
  }

  read(incarnation: string): Promise<GuestReading> {
    const known = this.#asked.get(incarnation);
    if (known !== undefined) return known;
    const asked = this.#ask(incarnation).finally(() => this.#asked.delete(incarnation));
    this.#asked.set(incarnation, asked);
    return asked;
  }

  async #ask(incarnation: string): Promise<GuestReading> {
    const paths = await latestRun(this.#site, incarnation);
    return paths === undefined ? silentGuest : askGuest(paths.guestSocket);
  }
}

/** Asks the agent behind the socket of a virtio-serial port. Never rejects because of the guest. */
export async function askGuest(socketPath: string, answerMs = withinMs): Promise<GuestReading> {
  const socket = net.connect(socketPath);
  const timer = setTimeout(() => socket.destroy(), answerMs);
  // The reader below is told of it, too.
  socket.on('error', () => {});
  const lines = linesOf(socket);
  try {
    if (!(await areInStep(socket, lines))) return silentGuest;
    const system = await answerTo('guest-get-osinfo', socket, lines);
    if (system === undefined) return silentGuest;
    const hostName = hostNameOf(await answerTo('guest-get-host-name', socket, lines));
    // The last one, because a guest may have more interfaces than a line can hold.
    const interfaces = interfacesOf(await answerTo('guest-network-get-interfaces', socket, lines));
    return { answers: true, ...systemOf(system), hostName, interfaces };
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

type Lines = AsyncGenerator<Buffer, void>;

/** Ends at the first line that is too long, after too many bytes, and when the connection ends. */
async function* linesOf(socket: net.Socket): Lines {
  const line = Buffer.alloc(lineBytes);
  let [length, total] = [0, 0];
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > allBytes) return;
      for (let from = 0; from < chunk.length;) {
        const newline = chunk.indexOf(0x0a, from);
        const end = newline < 0 ? chunk.length : newline;
        if (length + end - from > lineBytes) return;
        length += chunk.copy(line, length, from, end);
        from = end + 1;
        if (newline < 0) break;
        yield line.subarray(0, length);
        length = 0;
      }
    }
  } catch (error) {
    // QEMU has ended the connection, or the time is up.
    if (errnoOf(error) === '') throw error;
  }
}

/** A byte that no JSON has: the agent drops what it has read before, and begins its answer with it. */
const flush = 0xff;

/** The agent may have answers left for somebody who does not wait any more: they come before the one with this id. */
async function areInStep(socket: net.Socket, lines: Lines): Promise<boolean> {
  const id = randomInt(2 ** 47);
  socket.write(Buffer.from([flush]));
  socket.write(request('guest-sync-delimited', { id }));
  for (let count = 0; count < staleLines; count++) {
    const { value: line } = await lines.next();
    if (line === undefined) return false;
    const answer = line.subarray(line.lastIndexOf(flush) + 1);
    if (line.includes(flush) && returned(answer) === id) return true;
  }
  return false;
}

const request = (execute: string, args?: object): string => `${JSON.stringify({ execute, arguments: args })}\n`;

/** @returns undefined when there is no answer; null when the agent has none to this question */
async function answerTo(question: string, socket: net.Socket, lines: Lines): Promise<unknown> {
  socket.write(request(question));
  const { value: line } = await lines.next();
  return line === undefined ? undefined : returned(line);
}

const answerSchema = z.union([
  z.object({ return: z.unknown() }).transform((answer) => answer.return),
  // A question that this agent does not know, or may not answer.
  z.object({ error: z.unknown() }).transform(() => null),
]);

/** @returns what the agent gives back; undefined when that is no answer of an agent */
function returned(line: Buffer): unknown {
  try {
    return answerSchema.safeParse(JSON.parse(line.toString())).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Printable and short, or null. */
function textOf(text: string | undefined): string | null {
  const printable = (text ?? '')
    .slice(0, 4 * textLimit)
    .replace(unprintable, '')
    .trim();
  return [...printable].slice(0, textLimit).join('') || null;
}

const systemSchema = z.object({
  'pretty-name': z.string().optional(),
  name: z.string().optional(),
  'kernel-release': z.string().optional(),
});

function systemOf(answer: unknown): Pick<GuestReading, 'system' | 'kernel'> {
  const { data } = systemSchema.safeParse(answer);
  return { system: textOf(data?.['pretty-name'] ?? data?.name), kernel: textOf(data?.['kernel-release']) };
}

const hostNameSchema = z.object({ 'host-name': z.string() });
const hostNameOf = (answer: unknown): string | null => textOf(hostNameSchema.safeParse(answer).data?.['host-name']);

// An element is looked at only when the ones before have left room for it: there may be thousands.
const listSchema = z.array(z.unknown());
const interfaceSchema = z.object({
  name: z.string(),
  'hardware-address': z.string().optional(),
  'ip-addresses': listSchema.default([]),
});
const addressSchema = z.object({
  'ip-address': z.string().refine((text) => net.isIP(text) !== 0 && !text.includes('%')),
  prefix: z.int().min(0).max(128),
});

/** All but the loopback interface. */
function interfacesOf(answer: unknown): readonly GuestInterface[] | null {
  const listed = listSchema.safeParse(answer).data?.slice(0, interfaceLimit + 1);
  if (listed === undefined) return null;
  return listed.flatMap((element) => interfaceOf(element) ?? []).slice(0, interfaceLimit);
}

function interfaceOf(element: unknown): GuestInterface | null {
  const { data } = interfaceSchema.safeParse(element);
  const name = textOf(data?.name);
  if (data === undefined || name === null || name === 'lo') return null;
  const mac = data['hardware-address']?.toLowerCase() ?? '';
  const addresses = data['ip-addresses'].slice(0, addressLimit).flatMap((one) => {
    const read = addressSchema.safeParse(one).data;
    return read === undefined ? [] : [`${read['ip-address']}/${read.prefix}`];
  });
  return { name, mac: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) ? mac : null, addresses };
}
